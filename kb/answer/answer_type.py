"""What kind of answer a question waits for, and whether a sentence carries one. Rules, English and Chinese."""

from __future__ import annotations

import re
from typing import Literal

from kb.answer.words import fold

Kind = Literal[
    "time",
    "price",
    "duration",
    "frequency",
    "temperature",
    "email",
    "phone",
    "date",
    "number",
    "person",
    "place",
    "reason",
    "steps",
]

# "when is it" asks; "when I am ill" does not
_ASKED = (
    "(is|are|was|were|do|does|did|will|would|can|could|should|shall|must|has|have|had|may|might|exactly|to)"
)
# the first that fits counts: narrow kinds stand before the wide ones that hold them
_ASKS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "time",
        re.compile(
            r"\bwhat time\b|\b(what|which) hours?\b|\bopening (hours|times)\b|\bhow (late|early)\b"
            r"|几点|幾點|营业时间|營業時間|开放时间|開放時間"
        ),
    ),
    (
        "price",
        re.compile(
            r"\bhow (much|expensive)\b.{0,80}\b(costs?|pay|paid|charged?|price|fee|deposit|allowance|bonus|refund(ed)?|money|earn)\b"
            r"|\b(what|which) .{0,20}\b(price|fee|fare)\b|\b(price|cost) of\b|\bwhat .{0,60}\bcosts?\b"
            r"|多少钱|多少錢|价格|價格|费用|費用|价钱|價錢"
        ),
    ),
    (
        "duration",
        re.compile(r"\bhow long\b|多久(?!以前)|多长时间|多長時間"),
    ),
    ("frequency", re.compile(r"\bhow (often|frequently|many times)\b|多久.{0,6}一次|几次|幾次|多少次")),
    (
        "temperature",
        re.compile(r"\bhow (hot|cold|warm)\b|\b(what|which) temperature\b|多少度|什么温度|什麼溫度"),
    ),
    ("email", re.compile(r"\be-?mail address\b|电子邮件地址|电子邮箱|邮箱地址|電子郵件")),
    (
        "phone",
        re.compile(
            r"\b(phone|telephone|hotline|fax|mobile)\b.{0,20}\bnumber\b|电话号码|電話號碼|电话是|热线"
        ),
    ),
    (
        "date",
        re.compile(
            rf"\bwhen {_ASKED}\b|\bwhen\W*$|\b(since|until|till|by|from) when\b"
            r"|\b(what|which|in what|in which) (year|date|month|day|decade|century|time)\b|\bwhat time\b"
            r"|何时|何時|什么时候|什麼時候|甚麼時候|哪一?年|哪一?天|几月|幾月|几号|幾號|哪个月|多久以前|哪一?日|几点|幾點|年份|日期"
        ),
    ),
    (
        "number",
        re.compile(
            r"\bhow (many|much|long|far|old|tall|high|big|large|often|deep|fast|wide)\b"
            r"|\bwhat (percentage|percent|number|amount|size|age|price|cost|fee|rate|population|share|fraction)\b|\bcost of\b"
            r"|多少|几[个個次人年天种種位名岁歲条條座层層家项項本部支公里米]|幾[个個次人年天種位名歲條座層家項本部支公里米]|多长|多長|多大|多高|多远|多遠|多久|多宽|多重|第几|第幾"
        ),
    ),
    ("person", re.compile(r"\bwho(se|m)?\b|谁|誰|哪位|何人|哪个人|叫什么名|哪一位")),
    (
        "place",
        re.compile(
            r"\bwhere\b|\b(what|which) (city|country|state|place|region|town|continent|location|county)\b"
            r"|哪里|哪裡|何处|何處|什么地方|什麼地方|哪个(?:国家|城市|省|市|县|地方|地区)|哪個(?:國家|城市|省|市|縣|地方|地區)|位于|位於"
        ),
    ),
    ("reason", re.compile(r"\bwhy\b|\bwhat (caused|is the reason)\b|为什么|為什麼|为何|為何|原因")),
    ("steps", re.compile(r"\bhow (do|can|to|should|would) |\bwhat should i do\b|如何|怎么|怎麼|怎样|怎樣")),
)
_MONTH = (
    "january|february|march|april|may|june|july|august|september|october|november|december"
    "|mon(?:day)?|tues(?:day)?|wednesday|thursday|friday|saturday|sunday"
)
_WORD_NUMBERS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|twenty|thirty|forty|fifty|sixty|seventy"
    "|eighty|ninety|hundred|thousand|million|billion|half|third|quarter|once|twice|several|none"
)
_MANY = rf"(?:\d+(?:[.,]\d+)?|\b(?:an?|{_WORD_NUMBERS}|several|few))"
_HAS: dict[Kind, re.Pattern[str]] = {
    "time": re.compile(
        r"\b\d{1,2}[:.]\d\d\b|\b\d{1,2} ?[ap]\.?m\b|\b\d{1,2} o.clock|\bnoon\b|\bmidnight\b|\b(24|twenty-four) hours\b"
        r"|[0-9一二三四五六七八九十]+(点|點|时|時)|中午|午夜|零点"
    ),
    "price": re.compile(
        r"[£$€¥₹]\s?\d|\d ?[£$€¥₹]|\b(usd|eur|gbp|cny|rmb|chf) ?\d|\b(price|cost|fee|rate|charge)s?\b[^:;]{0,30}: ?[^;]{0,12}\d|\d ?(usd|eur|gbp|cny|rmb|chf|dollars?|euros?|pounds?|cents?|pence|yuan)\b|\bfree( of charge)?\b|\bnothing\b"
        r"|[0-9〇零一二三四五六七八九十百千万萬]+ ?(元|块|塊|美元|欧元|英镑|人民币)|免费|免費"
    ),
    "duration": re.compile(
        rf"{_MANY}[\s-]?(?:working |business |calendar |full )?"
        r"(?:second|minute|min\b|hour|day|night|week|fortnight|month|year|decade|centur|km|kilomet|met(?:er|re)s?\b|miles?\b|f(?:ee|oo)t\b|cm\b|mm\b|inch)"
        r"|\buntil\b|\bfor ever\b|\bindefinitely\b|[0-9〇零一二三四五六七八九十百千两兩半几幾]+ ?(?:个|個)?(?:秒|分钟|分鐘|小时|小時|天|日|周|週|星期|月|年|公里|千米|米)"
    ),
    "frequency": re.compile(
        r"\bevery\b|\beach\b|\bper\b|\b(once|twice|times|never|always|regularly|daily|weekly|monthly|quarterly|yearly|annual(ly)?)\b"
        r"|\ba (day|week|month|quarter|year)\b|每|次|从不|从未"
    ),
    "temperature": re.compile(r"\d ?°|\bdegrees?\b|\d ?[cf]\b|\d ?(?:度|摄氏|攝氏|℃)"),
    "email": re.compile(r"\S@\S+\.\w"),
    "phone": re.compile(r"\+?\d[\d ()/.-]{4,}\d|\b(?:ext\.?|extension) ?\d+"),
    "date": re.compile(
        rf"\b(1\d{{3}}|20\d\d)s?\b|\b({_MONTH})\b|\b\d{{1,2}}:\d\d\b|\b\d{{1,2}}(st|nd|rd|th)\b|\bcentur|\byears? ago\b|\b\d{{1,2}} ?[ap]\.?m\b"
        r"|[0-9〇零一二三四五六七八九十]+(年|月|日|号|號|世纪|世紀|点|點|时|時)|期间|期間|以来|今年|去年|初年|末年|元年"
    ),
    "number": re.compile(rf"\d|\b({_WORD_NUMBERS})\b|[〇零一二三四五六七八九十百千万萬亿億两兩半]"),
    "reason": re.compile(
        r"\bbecause|\bdue to|\bsince\b|\bcaus|\bresult|\breason|\bin order to|\bso that|\bled to|因|由于|由於|所以|导致|為了|为了|故"
    ),
    "steps": re.compile(
        r"\bclick|\bselect|\bpress|\bgo to|\bopen|\benter|\bchoose|\bfollow|\bmust\b|\bshould\b|\bneed to|\bcan\b|\bplease"
        r"|点击|點擊|选择|選擇|打开|打開|进入|輸入|输入|通过|通過|可以|需要|使用|执行|首先|然后"
    ),
}
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w'’-]+(?:\s+(?:of|de|von|van|the|[A-Z][\w.'’-]*))*")
_PLACE_ZH = re.compile(r"[省市县縣区區州国國镇鎮村岛島街路东西南北]")
_NAME_ZH = re.compile(r"[·•]|[\u4e00-\u9fff]{2,4}(?=[（(，、是为於于在任等和与及])|[\"《「]")


def expected(question: str) -> Kind | None:
    """The kind of answer asked for, None when any would do."""
    text = fold(question)
    for kind, pattern in _ASKS:
        if pattern.search(text):
            return kind
    return None


def carries(kind: Kind, sentence: str, question: str) -> bool:
    """Whether the sentence holds something of that kind which the question does not already say."""
    asked = fold(question)
    if kind in ("person", "place"):
        if any(name.lower() not in asked for name in _NAME.findall(sentence)):
            return True
        pattern = _PLACE_ZH if kind == "place" else _NAME_ZH
        return bool(pattern.search(sentence))
    if kind in ("reason", "steps"):
        return bool(_HAS[kind].search(fold(sentence)))
    return any(match.group() not in asked for match in _HAS[kind].finditer(fold(sentence)))
