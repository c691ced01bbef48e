untitled = (sans titre)
subject = { $title } – { $when }

label-when = Quand
label-starts = Début
label-due = Échéance
label-where = Lieu
label-online = En ligne
label-link = Lien
label-calendar = Agenda
label-organizer = Organisation
label-attendees = Participants
label-repeats = Répétition
label-moved = Déplacé du
join = Rejoindre la réunion
answer = Fermer ou reporter ce rappel

day-time = { $day }, { $time }
times = { $day }, { $from }–{ $to }
span = { $from } – { $to }
all-day = { $day } (toute la journée)
all-day-span = du { $first } au { $last } (toute la journée)
in-zone = { $when } ({ $zone })
elsewhere = (soit { $when } { $zone })

repeats-daily = { PLURAL($count) ->
    [one] tous les jours
   *[other] tous les { NUMBER($count) } jours
}
repeats-weekly = { PLURAL($count) ->
    [one] toutes les semaines
   *[other] toutes les { NUMBER($count) } semaines
}
repeats-monthly = { PLURAL($count) ->
    [one] tous les mois
   *[other] tous les { NUMBER($count) } mois
}
repeats-yearly = { PLURAL($count) ->
    [one] tous les ans
   *[other] tous les { NUMBER($count) } ans
}
repeats-often = plusieurs fois par jour
repeats-dates = à plusieurs dates

more = { PLURAL($count) ->
    [one] { NUMBER($count) } autre
   *[other] { NUMBER($count) } autres
}
description-cut = La description continue : elle est en entier dans l’agenda.

late-minutes = { PLURAL($count) ->
    [one] Ce rappel arrive avec { NUMBER($count) } minute de retard : il était prévu le { $due }.
   *[other] Ce rappel arrive avec { NUMBER($count) } minutes de retard : il était prévu le { $due }.
}
late-hours = { PLURAL($count) ->
    [one] Ce rappel arrive avec { NUMBER($count) } heure de retard : il était prévu le { $due }.
   *[other] Ce rappel arrive avec { NUMBER($count) } heures de retard : il était prévu le { $due }.
}
late-days = { PLURAL($count) ->
    [one] Ce rappel arrive avec { NUMBER($count) } jour de retard : il était prévu le { $due }.
   *[other] Ce rappel arrive avec { NUMBER($count) } jours de retard : il était prévu le { $due }.
}
over-event = L’événement est déjà terminé.
over-task = L’échéance de la tâche est déjà passée.

footer-event = Envoyé par { $server } car l’événement a un rappel dans l’agenda « { $calendar } ».
footer-task = Envoyé par { $server } car la tâche a un rappel dans l’agenda « { $calendar } ».
