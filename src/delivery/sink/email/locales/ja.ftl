untitled = （無題）
subject = { $title } – { $when }

label-when = 日時
label-starts = 開始
label-due = 期限
label-where = 場所
label-online = オンライン
label-link = リンク
label-calendar = カレンダー
label-organizer = 主催者
label-attendees = 参加者
label-repeats = 繰り返し
label-moved = 変更前
join = 会議に参加する
answer = この通知を閉じる・後で通知する

day-time = { $day } { $time }
times = { $day } { $from }～{ $to }
span = { $from } ～ { $to }
all-day = { $day }（終日）
all-day-span = { $first } ～ { $last }（終日）
in-zone = { $when }（{ $zone }）
elsewhere = （{ $zone }では { $when }）

repeats-daily = { PLURAL($count) ->
   *[other] { NUMBER($count) }日ごと
}
repeats-weekly = { PLURAL($count) ->
   *[other] { NUMBER($count) }週間ごと
}
repeats-monthly = { PLURAL($count) ->
   *[other] { NUMBER($count) }か月ごと
}
repeats-yearly = { PLURAL($count) ->
   *[other] { NUMBER($count) }年ごと
}
repeats-often = 1日に数回
repeats-dates = 複数の日程

more = 他{ NUMBER($count) }名
description-cut = 説明には続きがあります。全文はカレンダーにあります。

late-minutes = この通知は{ NUMBER($count) }分遅れています。予定時刻は{ $due }でした。
late-hours = この通知は{ NUMBER($count) }時間遅れています。予定時刻は{ $due }でした。
late-days = この通知は{ NUMBER($count) }日遅れています。予定時刻は{ $due }でした。
over-event = この予定はすでに終了しています。
over-task = このタスクの期限はすでに過ぎています。

footer-event = カレンダー「{ $calendar }」の予定にアラームがあるため、{ $server } から送信されました。
footer-task = カレンダー「{ $calendar }」のタスクにアラームがあるため、{ $server } から送信されました。
