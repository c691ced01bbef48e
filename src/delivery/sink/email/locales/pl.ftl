untitled = (bez tytułu)
subject = { $title } – { $when }

label-when = Kiedy
label-starts = Początek
label-due = Termin
label-where = Gdzie
label-online = Online
label-link = Odnośnik
label-calendar = Kalendarz
label-organizer = Organizator
label-attendees = Uczestnicy
label-repeats = Powtarzanie
label-moved = Przeniesione z
join = Dołącz do spotkania
answer = Odrzuć lub odłóż to przypomnienie

day-time = { $day }, { $time }
times = { $day }, { $from }–{ $to }
span = { $from } – { $to }
all-day = { $day } (cały dzień)
all-day-span = { $first } – { $last } (całe dni)
in-zone = { $when } ({ $zone })
elsewhere = (czyli { $when } { $zone })

repeats-daily = { PLURAL($count) ->
    [one] codziennie
    [few] co { NUMBER($count) } dni
    [many] co { NUMBER($count) } dni
   *[other] co { NUMBER($count) } dnia
}
repeats-weekly = { PLURAL($count) ->
    [one] co tydzień
    [few] co { NUMBER($count) } tygodnie
    [many] co { NUMBER($count) } tygodni
   *[other] co { NUMBER($count) } tygodnia
}
repeats-monthly = { PLURAL($count) ->
    [one] co miesiąc
    [few] co { NUMBER($count) } miesiące
    [many] co { NUMBER($count) } miesięcy
   *[other] co { NUMBER($count) } miesiąca
}
repeats-yearly = { PLURAL($count) ->
    [one] co rok
    [few] co { NUMBER($count) } lata
    [many] co { NUMBER($count) } lat
   *[other] co { NUMBER($count) } roku
}
repeats-often = kilka razy dziennie
repeats-dates = w kilku terminach

more = { PLURAL($count) ->
    [one] jeszcze { NUMBER($count) } osoba
    [few] jeszcze { NUMBER($count) } osoby
    [many] jeszcze { NUMBER($count) } osób
   *[other] jeszcze { NUMBER($count) } osoby
}
description-cut = Opis jest dłuższy: w całości jest w kalendarzu.

late-minutes = { PLURAL($count) ->
    [one] To przypomnienie jest spóźnione o { NUMBER($count) } minutę: powinno nadejść { $due }.
    [few] To przypomnienie jest spóźnione o { NUMBER($count) } minuty: powinno nadejść { $due }.
    [many] To przypomnienie jest spóźnione o { NUMBER($count) } minut: powinno nadejść { $due }.
   *[other] To przypomnienie jest spóźnione o { NUMBER($count) } minuty: powinno nadejść { $due }.
}
late-hours = { PLURAL($count) ->
    [one] To przypomnienie jest spóźnione o { NUMBER($count) } godzinę: powinno nadejść { $due }.
    [few] To przypomnienie jest spóźnione o { NUMBER($count) } godziny: powinno nadejść { $due }.
    [many] To przypomnienie jest spóźnione o { NUMBER($count) } godzin: powinno nadejść { $due }.
   *[other] To przypomnienie jest spóźnione o { NUMBER($count) } godziny: powinno nadejść { $due }.
}
late-days = { PLURAL($count) ->
    [one] To przypomnienie jest spóźnione o { NUMBER($count) } dzień: powinno nadejść { $due }.
    [few] To przypomnienie jest spóźnione o { NUMBER($count) } dni: powinno nadejść { $due }.
    [many] To przypomnienie jest spóźnione o { NUMBER($count) } dni: powinno nadejść { $due }.
   *[other] To przypomnienie jest spóźnione o { NUMBER($count) } dnia: powinno nadejść { $due }.
}
over-event = To wydarzenie już się skończyło.
over-task = Termin tego zadania już minął.

footer-event = Wysłano przez { $server }, ponieważ wydarzenie w kalendarzu „{ $calendar }” ma przypomnienie.
footer-task = Wysłano przez { $server }, ponieważ zadanie w kalendarzu „{ $calendar }” ma przypomnienie.
