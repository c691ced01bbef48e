untitled = (sin título)
subject = { $title } – { $when }

label-when = Cuándo
label-starts = Comienza
label-due = Vence
label-where = Dónde
label-online = En línea
label-link = Enlace
label-calendar = Calendario
label-organizer = Organiza
label-attendees = Asistentes
label-repeats = Se repite
label-moved = Antes era
join = Unirse a la reunión
answer = Descartar o posponer este recordatorio

day-time = { $day }, { $time }
times = { $day }, { $from }–{ $to }
span = { $from } – { $to }
all-day = { $day } (todo el día)
all-day-span = del { $first } al { $last } (todo el día)
in-zone = { $when } ({ $zone })
elsewhere = (es decir, { $when } { $zone })

repeats-daily = { PLURAL($count) ->
    [one] cada día
   *[other] cada { NUMBER($count) } días
}
repeats-weekly = { PLURAL($count) ->
    [one] cada semana
   *[other] cada { NUMBER($count) } semanas
}
repeats-monthly = { PLURAL($count) ->
    [one] cada mes
   *[other] cada { NUMBER($count) } meses
}
repeats-yearly = { PLURAL($count) ->
    [one] cada año
   *[other] cada { NUMBER($count) } años
}
repeats-often = varias veces al día
repeats-dates = en varias fechas

more = { NUMBER($count) } más
description-cut = La descripción continúa: está completa en el calendario.

late-minutes = { PLURAL($count) ->
    [one] Este recordatorio llega con { NUMBER($count) } minuto de retraso: era para el { $due }.
   *[other] Este recordatorio llega con { NUMBER($count) } minutos de retraso: era para el { $due }.
}
late-hours = { PLURAL($count) ->
    [one] Este recordatorio llega con { NUMBER($count) } hora de retraso: era para el { $due }.
   *[other] Este recordatorio llega con { NUMBER($count) } horas de retraso: era para el { $due }.
}
late-days = { PLURAL($count) ->
    [one] Este recordatorio llega con { NUMBER($count) } día de retraso: era para el { $due }.
   *[other] Este recordatorio llega con { NUMBER($count) } días de retraso: era para el { $due }.
}
over-event = El evento ya ha terminado.
over-task = La tarea ya ha vencido.

footer-event = Enviado por { $server } porque el evento tiene una alarma en el calendario «{ $calendar }».
footer-task = Enviado por { $server } porque la tarea tiene una alarma en el calendario «{ $calendar }».
