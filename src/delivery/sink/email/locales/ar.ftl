untitled = (بلا عنوان)
subject = { $title } – { $when }

label-when = متى
label-starts = البداية
label-due = الاستحقاق
label-where = المكان
label-online = عبر الإنترنت
label-link = الرابط
label-calendar = التقويم
label-organizer = المنظّم
label-attendees = الحضور
label-repeats = التكرار
label-moved = نُقل من
join = الانضمام إلى الاجتماع
answer = إغلاق هذا التذكير أو تأجيله

day-time = { $day }، { $time }
times = { $day }، { $from } – { $to }
span = { $from } – { $to }
all-day = { $day } (طوال اليوم)
all-day-span = من { $first } إلى { $last } (طوال اليوم)
in-zone = { $when } ({ $zone })
elsewhere = (أي { $when } { $zone })

repeats-daily = { PLURAL($count) ->
    [one] كل يوم
    [two] كل يومين
    [few] كل { NUMBER($count) } أيام
   *[other] كل { NUMBER($count) } يومًا
}
repeats-weekly = { PLURAL($count) ->
    [one] كل أسبوع
    [two] كل أسبوعين
    [few] كل { NUMBER($count) } أسابيع
   *[other] كل { NUMBER($count) } أسبوعًا
}
repeats-monthly = { PLURAL($count) ->
    [one] كل شهر
    [two] كل شهرين
    [few] كل { NUMBER($count) } أشهر
   *[other] كل { NUMBER($count) } شهرًا
}
repeats-yearly = { PLURAL($count) ->
    [one] كل سنة
    [two] كل سنتين
    [few] كل { NUMBER($count) } سنوات
   *[other] كل { NUMBER($count) } سنة
}
repeats-often = عدة مرات في اليوم
repeats-dates = في عدة تواريخ

more = { NUMBER($count) } آخرون
description-cut = الوصف أطول من ذلك، وهو كامل في التقويم.

late-minutes = { PLURAL($count) ->
    [one] تأخر هذا التذكير دقيقة واحدة: كان موعده { $due }.
    [two] تأخر هذا التذكير دقيقتين: كان موعده { $due }.
    [few] تأخر هذا التذكير { NUMBER($count) } دقائق: كان موعده { $due }.
   *[other] تأخر هذا التذكير { NUMBER($count) } دقيقة: كان موعده { $due }.
}
late-hours = { PLURAL($count) ->
    [one] تأخر هذا التذكير ساعة واحدة: كان موعده { $due }.
    [two] تأخر هذا التذكير ساعتين: كان موعده { $due }.
    [few] تأخر هذا التذكير { NUMBER($count) } ساعات: كان موعده { $due }.
   *[other] تأخر هذا التذكير { NUMBER($count) } ساعة: كان موعده { $due }.
}
late-days = { PLURAL($count) ->
    [one] تأخر هذا التذكير يومًا واحدًا: كان موعده { $due }.
    [two] تأخر هذا التذكير يومين: كان موعده { $due }.
    [few] تأخر هذا التذكير { NUMBER($count) } أيام: كان موعده { $due }.
   *[other] تأخر هذا التذكير { NUMBER($count) } يومًا: كان موعده { $due }.
}
over-event = انتهى هذا الحدث بالفعل.
over-task = انقضى موعد استحقاق هذه المهمة بالفعل.

footer-event = أرسله { $server } لأن للحدث تنبيهًا في التقويم «{ $calendar }».
footer-task = أرسله { $server } لأن للمهمة تنبيهًا في التقويم «{ $calendar }».
