untitled = (geen titel)
subject = { $title } – { $when }

label-when = Wanneer
label-starts = Begint
label-due = Verloopt
label-where = Waar
label-online = Online
label-link = Link
label-calendar = Agenda
label-organizer = Organisator
label-attendees = Deelnemers
label-repeats = Herhaling
label-moved = Verplaatst van
join = Deelnemen aan de vergadering
answer = Deze herinnering sluiten of uitstellen

day-time = { $day }, { $time }
times = { $day }, { $from }–{ $to }
span = { $from } – { $to }
all-day = { $day } (hele dag)
all-day-span = { $first } tot en met { $last } (hele dag)
in-zone = { $when } ({ $zone })
elsewhere = (dat is { $when } { $zone })

repeats-daily = { PLURAL($count) ->
    [one] elke dag
   *[other] elke { NUMBER($count) } dagen
}
repeats-weekly = { PLURAL($count) ->
    [one] elke week
   *[other] elke { NUMBER($count) } weken
}
repeats-monthly = { PLURAL($count) ->
    [one] elke maand
   *[other] elke { NUMBER($count) } maanden
}
repeats-yearly = { PLURAL($count) ->
    [one] elk jaar
   *[other] elke { NUMBER($count) } jaar
}
repeats-often = meerdere keren per dag
repeats-dates = op meerdere data

more = nog { NUMBER($count) }
description-cut = De beschrijving is langer: ze staat volledig in de agenda.

late-minutes = { PLURAL($count) ->
    [one] Deze herinnering komt { NUMBER($count) } minuut te laat: ze was bedoeld voor { $due }.
   *[other] Deze herinnering komt { NUMBER($count) } minuten te laat: ze was bedoeld voor { $due }.
}
late-hours = { PLURAL($count) ->
    [one] Deze herinnering komt { NUMBER($count) } uur te laat: ze was bedoeld voor { $due }.
   *[other] Deze herinnering komt { NUMBER($count) } uur te laat: ze was bedoeld voor { $due }.
}
late-days = { PLURAL($count) ->
    [one] Deze herinnering komt { NUMBER($count) } dag te laat: ze was bedoeld voor { $due }.
   *[other] Deze herinnering komt { NUMBER($count) } dagen te laat: ze was bedoeld voor { $due }.
}
over-event = De afspraak is al voorbij.
over-task = De taak had al klaar moeten zijn.

footer-event = Verzonden door { $server } omdat de afspraak in de agenda “{ $calendar }” een herinnering heeft.
footer-task = Verzonden door { $server } omdat de taak in de agenda “{ $calendar }” een herinnering heeft.
