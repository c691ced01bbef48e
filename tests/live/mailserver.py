"""A mail server (aiosmtpd) that prints each mail it takes, and misbehaves on demand.

    mailserver.py PORT SECURITY RULES [CERTIFICATE KEY]

SECURITY is plain, starttls or implicit; the only user is mary with the password secret, and she has to log in. RULES is
a file that is read anew at every step: a JSON object from a step (greeting, MAIL, RCPT, DATA, body) to what happens
there instead of the usual: an answer such as "550 5.1.1 No such user", "hang", "wait" (until the rules say something
else), "close" (without an answer), or "keep" (take the mail, then close without an answer). A step may be narrowed to a recipient: "RCPT bob@example.org".

A file "token" beside RULES holds the access token that logs mary in by XOAUTH2; where there is none, that is not offered.

Printed lines begin with a word: "open N" and "shut N" when a connection begins and ends, N being how many there are;
"mail" and a JSON object when a mail was taken.
"""

import asyncio
import base64
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

PORT, SECURITY, RULES = int(sys.argv[1]), sys.argv[2], sys.argv[3]
open_connections = 0


def say(*words):
    print(*words, flush=True)


def rule(step, recipient=""):
    with open(RULES, encoding="utf-8") as file:
        rules = json.load(file)
    return rules.get(f"{step} {recipient}", rules.get(step))


def parts_of(message):
    """Content type and decoded text of each part."""
    return [
        {"type": part.get_content_type(), "text": part.get_content().replace("\r\n", "\n")}
        for part in message.walk()
        if not part.is_multipart()
    ]


class Handler:
    async def auth_XOAUTH2(self, server, args):
        """An access token, or else a challenge that says why not (RFC 7628 has the same)."""
        wanted = f"user=mary\x01auth=Bearer {access_token()}\x01\x01".encode()
        if base64.b64decode(args[1]) == wanted:
            return AuthResult(success=True, auth_data="mary by token")
        await server.push("334 " + base64.b64encode(b'{"status":"400"}').decode())
        await server._reader.readline()
        return AuthResult(success=False, handled=False)

    async def at(self, step, server, recipient=""):
        """What the rules say instead of going on."""
        instead = rule(step, recipient)
        while instead == "wait":
            await asyncio.sleep(0.01)
            instead = rule(step, recipient)
        if instead == "hang":
            await asyncio.sleep(3600)
        if instead == "close":
            server.transport.abort()
        return instead

    async def handle_MAIL(self, server, session, envelope, address, options):
        instead = await self.at("MAIL", server)
        if instead:
            return instead
        envelope.mail_from = address
        return "250 2.1.0 Sender ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        instead = await self.at("RCPT", server, address)
        if instead:
            return instead
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient ok"

    async def handle_DATA(self, server, session, envelope):
        instead = await self.at("body", server, envelope.rcpt_tos[0])
        if instead and instead != "keep":
            return instead
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        say("mail", json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or SECURITY == "implicit",
            "user": session.auth_data,
            "type": message.get_content_type(),
            "headers": [[name, str(value)] for name, value in message.items()],
            "parts": parts_of(message),
            "octets": envelope.content.decode("latin-1"),
        }))
        if instead == "keep":
            server.transport.abort()
        return "250 2.0.0 Taken"


def access_token():
    path = os.path.join(os.path.dirname(RULES), "token")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


class Connection(SMTP):
    def connection_made(self, transport):
        global open_connections
        if self._original_transport is None:  # not again after STARTTLS
            open_connections += 1
            say("open", open_connections)
        super().connection_made(transport)

    def connection_lost(self, error):
        global open_connections
        open_connections -= 1
        say("shut", open_connections)
        super().connection_lost(error)

    async def _handle_client(self):
        instead = await self.event_handler.at("greeting", self)
        if instead and instead != "close":
            await self.push(instead)
            self.transport.close()
        elif not instead:
            await super()._handle_client()

    async def smtp_DATA(self, arg):
        instead = await self.event_handler.at("DATA", self)
        if instead:
            await self.push(instead)
        else:
            await super().smtp_DATA(arg)


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"mary", b"secret")
    return AuthResult(success=known, handled=False, auth_data="mary" if known else None)


async def main():
    tls = None
    if SECURITY != "plain":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(sys.argv[4], sys.argv[5])

    def connection():
        return Connection(
            Handler(),
            hostname="mail.test",
            enable_SMTPUTF8=True,
            authenticator=authenticate,
            auth_exclude_mechanism=[] if access_token() else ["XOAUTH2"],
            auth_required=True,
            auth_require_tls=SECURITY == "starttls",
            require_starttls=SECURITY == "starttls",
            tls_context=tls if SECURITY == "starttls" else None,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        connection, "127.0.0.1", PORT, ssl=tls if SECURITY == "implicit" else None, backlog=128
    )
    say("ready")
    await server.serve_forever()


asyncio.run(main())
