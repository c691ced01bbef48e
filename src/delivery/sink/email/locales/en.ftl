# Texts of reminder mails. $when, $day and times are written by the locale; NUMBER and PLURAL are the locale's as well.
untitled = (no title)
subject = { $title } – { $when }

label-when = When
label-starts = Starts
label-due = Due
label-where = Where
label-online = Online
label-link = Link
label-calendar = Calendar
label-organizer = Organizer
label-attendees = Attendees
label-repeats = Repeats
label-moved = Moved from
join = Join the meeting
answer = Dismiss or snooze this reminder

day-time = { $day }, { $time }
times = { $day }, { $from }–{ $to }
span = { $from } – { $to }
all-day = { $day } (all day)
all-day-span = { $first } to { $last } (all day)
in-zone = { $when } ({ $zone })
elsewhere = (that is { $when } { $zone })

repeats-daily = { PLURAL($count) ->
    [one] every day
   *[other] every { NUMBER($count) } days
}
repeats-weekly = { PLURAL($count) ->
    [one] every week
   *[other] every { NUMBER($count) } weeks
}
repeats-monthly = { PLURAL($count) ->
    [one] every month
   *[other] every { NUMBER($count) } months
}
repeats-yearly = { PLURAL($count) ->
    [one] every year
   *[other] every { NUMBER($count) } years
}
repeats-often = several times a day
repeats-dates = on several dates

more = { NUMBER($count) } more
description-cut = The description goes on: the calendar has all of it.

late-minutes = { PLURAL($count) ->
    [one] This reminder comes { NUMBER($count) } minute late: it was due on { $due }.
   *[other] This reminder comes { NUMBER($count) } minutes late: it was due on { $due }.
}
late-hours = { PLURAL($count) ->
    [one] This reminder comes { NUMBER($count) } hour late: it was due on { $due }.
   *[other] This reminder comes { NUMBER($count) } hours late: it was due on { $due }.
}
late-days = { PLURAL($count) ->
    [one] This reminder comes { NUMBER($count) } day late: it was due on { $due }.
   *[other] This reminder comes { NUMBER($count) } days late: it was due on { $due }.
}
over-event = The event is already over.
over-task = The task was due already.

footer-event = Sent by { $server } because the event has an alarm in the calendar “{ $calendar }”.
footer-task = Sent by { $server } because the task has an alarm in the calendar “{ $calendar }”.
