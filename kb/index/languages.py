"""Which language a text in Latin letters is in, by its function words: the small ones that carry no subject.

The same words are what a question in that language asks with; they say nothing about which passage answers it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Words that two languages share stand in both; what else they mean decides nothing where more words vote.
_WORDS = {
    "en": """a about after all also am an and any are as at be because been before but by can could did do does each for
        from had has have he her his how i if in into is it its just like many may me more most much must my no not of on
        once one only or other our out over she should so some such than that the their them then there these they this
        to under up us very was we were what when where which while who whom whose why will with would yes you your""",
    "de": """aber alle allem allen als also am an auch auf aus bei beim bin bis da damit dann darf dass das dem den denn der
        des die dies diese diesem diesen dieser dieses doch dort du durch dürfen ein eine einem einen einer eines er es
        etwas falls für gegen gibt habe haben hat hatte ich ihm ihn ihr ihre ihrem ihren im in innerhalb ins ist jede jeder
        jedes kann kein keine keinen können lässt man mehr mein meine meinem meinen meiner mich mir mit muss müssen nach
        nicht noch nur ob oder ohne schon sehr sein seine sich sie sind so soll sollte tun über um und uns unser unsere
        unter viel viele vom von vor wann war warum was welche welchem welchen welcher welches wem wen wenn wer werde werden
        wie wieviel wir wird wo wofür woher wohin wurde während zu zum zur zwischen""",
    "fr": """à afin ai alors après au aucun aucune aussi autre autres aux avant avec avoir avons c car ce cela celle celui
        ces cet cette ceux chaque chez combien comme comment d dans de depuis des dois doit doivent donc dont du elle elles
        en encore entre est et être eux fait faire faut il ils j je jusqu l la laquelle le lequel les leur leurs lors lorsque
        m ma mais me même mes mon n ne nos notre nous on ont ou où par pas pendant peut peuvent peux plus pour pourquoi
        puis qu quand que quel quelle quelles quels qui quoi s sa sans se selon sera ses si son sont sous sur t ta te tes toi
        ton tous tout toute toutes tu très un une va vers vos votre vous y""",
    "es": """a al algo ante antes aquí así aunque cada como con cual cuales cualquier cuando cuanta cuantas cuanto cuantos
        cuál cuáles cuándo cuánta cuántas cuánto cuántos cómo de debe deben debo del desde después donde dónde durante e el
        él ella ellos en entre era es esa ese eso esta está están estas este esto estos estoy fue ha hace hacer hago han
        hasta hay he la las le les lo los me mi mis mucho muy más nada ni no nos nuestra nuestro o os otra otras otro otros
        para pero por porque puede pueden puedo pues que quien quién qué se sea según ser será si sin sobre son su sus sí
        también tan te tenemos tengo tiene tienen todo todos tras tu tus un una unos usted y ya yo""",
    "it": """a ad agli ai al alla alle allo anche avere c che chi ci ciascuno come con cosa cui da dagli dai dal dalla dalle
        dei del della delle dello deve devo devono di dobbiamo dopo dove due e ed entro era è essere fa fare fino fra gli ha
        hai hanno ho i il in io l la le lei lo loro lui ma mai me mi mia mie miei mio molto ne nei nel nella nelle nello noi
        non nostra nostro o ogni oltre per perché più poi possiamo posso possono prima può qual quale quali quando quanta
        quante quanti quanto quella quelle quello questa queste questi questo se sei senza si sia sono sotto su sua sue sui
        sul sulla sulle suo tra tu tutti tutto un una uno va vi viene voi vostro""",
    "pt": """a ao aos apenas as até cada com como da das de deve devem devo do dos e ela elas ele eles em entre era esta está
        estão este eu faz fazer foi for há isso isto já lhe mais mas me mesmo meu meus minha minhas muito na nas nem no nos
        nossa nosso não nós o onde os ou para pela pelas pelo pelos pode podem podemos por porque posso quais qual qualquer
        quando quanta quantas quanto quantos que quem se sem sempre ser será seu seus sobre sua suas são só também te tem
        temos tenho ter têm um uma umas uns você vocês à às é""",
    "nl": """aan al alle als ben bij daar dan dat de deze die dit doe doen door dus een en er geen haar had hebben hebt heeft
        heb hem het hier hij hoe hoelang hoeveel ik in is je jij jouw kan kun kunnen maar mag meer men met mij mijn moet
        moeten naar niet nog nu of om omdat onder ons onze ook op over te tegen toe tot u uit van vanaf voor waar waarom
        wanneer waren was wat we wel welk welke werd wie wij wil wordt worden zal ze zich zij zijn zo zonder zou""",
    "pl": """a aby albo ale bez będzie być był była było by byli co czego czy dla do gdy gdzie go i ich ile im in inne ja jak
        jaka jaki jakie jako je jego jej jest jeśli już każdy kiedy kto która które którego której który których lub ma mam
        mi mnie moja moje mogę może można mój mój na nad nas nasz nie niż o od oraz po pod przed przez przy przysługuje się są
        ta tak także tam te tego tej ten to tu tylko tym u w we według więcej wszystkie z za ze że""",
    "sv": """alla att av blir de dem den denna det detta dig din du där efter eller en ett finns från för ha han har hos hur
        här i inom inte jag jo kan kommer man med mellan mig min mitt måste ni och om oss på samt sig sin ska skall som till
        under upp ut utan vad var vara vem vi vid vilka vilken vilket är än""",
    "da": """af alle at blev bliver da de dem den denne der deres det dette dig din dog du efter eller en er et for fra få
        ham han har havde hun hvad hvem hver hvilke hvilken hvis hvor hvordan hvorfor hvornår i ikke inden jeg kan kun man med
        mellem mig min mit må nej nogle nok nu når og også om op os over på sig sin skal som til ud under var ved vi vil være""",
}
FUNCTION_WORDS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_WORD = re.compile(r"[^\W\d_]{2,}")  # single letters are as often what an apostrophe cut off


@lru_cache(maxsize=1024)
def language(text: str) -> str:
    """ISO 639 code of the language that most of a text's function words belong to; '' where no language has the most."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    votes = {code: sum(word in own for word in words) for code, own in FUNCTION_WORDS.items()}
    first, second = sorted(votes.values(), reverse=True)[:2]
    return max(votes, key=lambda code: votes[code]) if first > second else ""


def function_words(text: str) -> frozenset[str]:
    """Those of the language the text is in; none where that is English, whose stop words no index holds, or unclear."""
    code = language(text)
    return frozenset() if code == "en" else FUNCTION_WORDS.get(code, frozenset())
