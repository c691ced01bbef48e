untitled = (ohne Titel)
subject = { $title } – { $when }

label-when = Wann
label-starts = Beginn
label-due = Fällig
label-where = Wo
label-online = Online
label-link = Link
label-calendar = Kalender
label-organizer = Organisation
label-attendees = Teilnehmende
label-repeats = Wiederholung
label-moved = Verschoben von
join = An der Besprechung teilnehmen
answer = Erinnerung beenden oder verschieben

day-time = { $day }, { $time }
times = { $day }, { $from }–{ $to }
span = { $from } – { $to }
all-day = { $day } (ganztägig)
all-day-span = { $first } bis { $last } (ganztägig)
in-zone = { $when } ({ $zone })
elsewhere = (das ist { $when } { $zone })

repeats-daily = { PLURAL($count) ->
    [one] täglich
   *[other] alle { NUMBER($count) } Tage
}
repeats-weekly = { PLURAL($count) ->
    [one] wöchentlich
   *[other] alle { NUMBER($count) } Wochen
}
repeats-monthly = { PLURAL($count) ->
    [one] monatlich
   *[other] alle { NUMBER($count) } Monate
}
repeats-yearly = { PLURAL($count) ->
    [one] jährlich
   *[other] alle { NUMBER($count) } Jahre
}
repeats-often = mehrmals am Tag
repeats-dates = an mehreren Tagen

more = { NUMBER($count) } weitere
description-cut = Die Beschreibung geht weiter: vollständig steht sie im Kalender.

late-minutes = { PLURAL($count) ->
    [one] Diese Erinnerung kommt { NUMBER($count) } Minute zu spät: fällig war sie am { $due }.
   *[other] Diese Erinnerung kommt { NUMBER($count) } Minuten zu spät: fällig war sie am { $due }.
}
late-hours = { PLURAL($count) ->
    [one] Diese Erinnerung kommt { NUMBER($count) } Stunde zu spät: fällig war sie am { $due }.
   *[other] Diese Erinnerung kommt { NUMBER($count) } Stunden zu spät: fällig war sie am { $due }.
}
late-days = { PLURAL($count) ->
    [one] Diese Erinnerung kommt { NUMBER($count) } Tag zu spät: fällig war sie am { $due }.
   *[other] Diese Erinnerung kommt { NUMBER($count) } Tage zu spät: fällig war sie am { $due }.
}
over-event = Der Termin ist schon vorbei.
over-task = Die Aufgabe war schon fällig.

footer-event = Gesendet von { $server }, weil der Termin im Kalender „{ $calendar }“ eine Erinnerung hat.
footer-task = Gesendet von { $server }, weil die Aufgabe im Kalender „{ $calendar }“ eine Erinnerung hat.
