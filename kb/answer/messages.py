"""The fixed sentences of answers, in the question's language; in English where it is none of these."""

from __future__ import annotations

from typing import Literal, get_args

from kb.answer.words import chinese
from kb.index.languages import language

Language = Literal["en", "zh", "de", "fr", "es", "it", "pt", "nl"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_TEXTS: dict[str, dict[Language, str]] = {
    "none": {
        "en": "I found nothing in the documents that answers this. The closest passages are shown; they may not answer it.",
        "zh": "文档中没有找到这个问题的答案。下面列出最接近的段落，它们不一定能回答这个问题。",
        "de": "In den Dokumenten steht nichts, was diese Frage beantwortet. Die nächstliegenden Stellen sind angegeben; sie müssen keine Antwort enthalten.",
        "fr": "Je n'ai rien trouvé dans les documents qui réponde à cette question. Les passages les plus proches sont indiqués ; ils n'y répondent pas forcément.",
        "es": "No he encontrado en los documentos nada que responda a esta pregunta. Se muestran los pasajes más cercanos; puede que no la respondan.",
        "it": "Nei documenti non ho trovato nulla che risponda a questa domanda. Sono mostrati i passaggi più vicini; potrebbero non rispondere.",
        "pt": "Não encontrei nos documentos nada que responda a esta pergunta. São mostradas as passagens mais próximas; podem não responder.",
        "nl": "In de documenten staat niets dat deze vraag beantwoordt. De dichtstbijzijnde passages worden getoond; ze geven misschien geen antwoord.",
    },
    "nothing": {
        "en": "I found nothing in the documents about this.",
        "zh": "文档中没有找到与此有关的内容。",
        "de": "In den Dokumenten steht nichts dazu.",
        "fr": "Je n'ai rien trouvé à ce sujet dans les documents.",
        "es": "No he encontrado nada sobre esto en los documentos.",
        "it": "Nei documenti non ho trovato nulla in proposito.",
        "pt": "Não encontrei nada sobre isto nos documentos.",
        "nl": "In de documenten staat hier niets over.",
    },
    "courtesy": {
        "en": "Hello. Ask me anything that the documents may answer, in a sentence or a few words.",
        "zh": "您好。请用一句话或几个词提问，我会从文档中查找答案。",
        "de": "Guten Tag. Fragen Sie in einem Satz oder ein paar Wörtern, was in den Dokumenten stehen könnte.",
        "fr": "Bonjour. Posez votre question en une phrase ou en quelques mots ; la réponse sera cherchée dans les documents.",
        "es": "Hola. Haga su pregunta en una frase o unas pocas palabras; la respuesta se buscará en los documentos.",
        "it": "Buongiorno. Faccia la sua domanda in una frase o in poche parole; la risposta sarà cercata nei documenti.",
        "pt": "Olá. Faça a sua pergunta numa frase ou em poucas palavras; a resposta será procurada nos documentos.",
        "nl": "Hallo. Stel uw vraag in één zin of een paar woorden; het antwoord wordt in de documenten gezocht.",
    },
    "thanked": {
        "en": "You are welcome. Ask again any time.",
        "zh": "不客气，随时可以再提问。",
        "de": "Gern geschehen. Fragen Sie jederzeit wieder.",
        "fr": "Je vous en prie. N'hésitez pas à poser d'autres questions.",
        "es": "De nada. Pregunte de nuevo cuando quiera.",
        "it": "Prego. Chieda ancora quando vuole.",
        "pt": "De nada. Pergunte de novo quando quiser.",
        "nl": "Graag gedaan. Stel gerust nog een vraag.",
    },
    "quoted-no-model": {
        "en": "Quoted from the documents; no language model is configured.",
        "zh": "以下内容摘自文档原文；未配置语言模型。",
        "de": "Zitat aus den Dokumenten; es ist kein Sprachmodell eingerichtet.",
        "fr": "Citation des documents ; aucun modèle de langage n'est configuré.",
        "es": "Cita de los documentos; no hay ningún modelo de lenguaje configurado.",
        "it": "Citazione dai documenti; non è configurato alcun modello linguistico.",
        "pt": "Citação dos documentos; nenhum modelo de linguagem está configurado.",
        "nl": "Citaat uit de documenten; er is geen taalmodel ingesteld.",
    },
    "quoted-down": {
        "en": "Quoted from the documents; the language model is not available right now.",
        "zh": "以下内容摘自文档原文；语言模型暂时不可用。",
        "de": "Zitat aus den Dokumenten; das Sprachmodell ist gerade nicht erreichbar.",
        "fr": "Citation des documents ; le modèle de langage n'est pas disponible pour le moment.",
        "es": "Cita de los documentos; el modelo de lenguaje no está disponible en este momento.",
        "it": "Citazione dai documenti; il modello linguistico non è al momento disponibile.",
        "pt": "Citação dos documentos; o modelo de linguagem não está disponível de momento.",
        "nl": "Citaat uit de documenten; het taalmodel is op dit moment niet beschikbaar.",
    },
    "quoted-late": {
        "en": "Quoted from the documents; the language model did not answer in time.",
        "zh": "以下内容摘自文档原文；语言模型未能及时回答。",
        "de": "Zitat aus den Dokumenten; das Sprachmodell hat nicht rechtzeitig geantwortet.",
        "fr": "Citation des documents ; le modèle de langage n'a pas répondu à temps.",
        "es": "Cita de los documentos; el modelo de lenguaje no respondió a tiempo.",
        "it": "Citazione dai documenti; il modello linguistico non ha risposto in tempo.",
        "pt": "Citação dos documentos; o modelo de linguagem não respondeu a tempo.",
        "nl": "Citaat uit de documenten; het taalmodel antwoordde niet op tijd.",
    },
    "quoted-busy": {
        "en": "Quoted from the documents; too many questions are waiting for the language model.",
        "zh": "以下内容摘自文档原文；等待语言模型的问题过多。",
        "de": "Zitat aus den Dokumenten; zu viele Fragen warten auf das Sprachmodell.",
        "fr": "Citation des documents ; trop de questions attendent le modèle de langage.",
        "es": "Cita de los documentos; hay demasiadas preguntas esperando al modelo de lenguaje.",
        "it": "Citazione dai documenti; troppe domande sono in attesa del modello linguistico.",
        "pt": "Citação dos documentos; há demasiadas perguntas à espera do modelo de linguagem.",
        "nl": "Citaat uit de documenten; er wachten te veel vragen op het taalmodel.",
    },
    "quoted-broken": {
        "en": "Quoted from the documents; the language model broke off, so its text was discarded.",
        "zh": "以下内容摘自文档原文；语言模型的回答中断，其内容已被丢弃。",
        "de": "Zitat aus den Dokumenten; das Sprachmodell brach ab, sein Text wurde verworfen.",
        "fr": "Citation des documents ; le modèle de langage s'est interrompu et son texte a été écarté.",
        "es": "Cita de los documentos; el modelo de lenguaje se interrumpió y su texto se descartó.",
        "it": "Citazione dai documenti; il modello linguistico si è interrotto e il suo testo è stato scartato.",
        "pt": "Citação dos documentos; o modelo de linguagem foi interrompido e o seu texto foi rejeitado.",
        "nl": "Citaat uit de documenten; het taalmodel brak af en de tekst ervan is verworpen.",
    },
    "unsure": {
        "en": "This is the closest the documents come; it may not be what you asked.",
        "zh": "以下是文档中最接近的内容，不一定正好回答您的问题。",
        "de": "Näher kommen die Dokumente der Frage nicht; das muss nicht die Antwort sein.",
        "fr": "C'est ce que les documents offrent de plus proche ; ce n'est pas forcément ce que vous demandiez.",
        "es": "Es lo más cercano que ofrecen los documentos; puede que no sea lo que ha preguntado.",
        "it": "È quanto di più vicino offrono i documenti; potrebbe non essere ciò che ha chiesto.",
        "pt": "É o que há de mais próximo nos documentos; pode não ser o que perguntou.",
        "nl": "Dichterbij komen de documenten niet; misschien is het niet wat u vroeg.",
    },
    "unsupported": {
        "en": "Not confirmed by the passages: {claims}",
        "zh": "未能在所引段落中核实：{claims}",
        "de": "Von den Textstellen nicht bestätigt: {claims}",
        "fr": "Non confirmé par les passages : {claims}",
        "es": "No confirmado por los pasajes: {claims}",
        "it": "Non confermato dai passaggi: {claims}",
        "pt": "Não confirmado pelas passagens: {claims}",
        "nl": "Niet bevestigd door de passages: {claims}",
    },
    "uncited": {
        "en": "The answer names no passage; please check it against the sources.",
        "zh": "该回答没有注明出处，请对照来源核实。",
        "de": "Die Antwort nennt keine Textstelle; bitte anhand der Quellen prüfen.",
        "fr": "La réponse n'indique aucun passage ; veuillez la vérifier d'après les sources.",
        "es": "La respuesta no cita ningún pasaje; compruébela con las fuentes.",
        "it": "La risposta non indica alcun passaggio; la verifichi nelle fonti.",
        "pt": "A resposta não indica nenhuma passagem; verifique-a nas fontes.",
        "nl": "Het antwoord noemt geen passage; controleer het aan de hand van de bronnen.",
    },
    "read-as": {
        "en": "Read as: {words}.",
        "zh": "已按以下拼写理解：{words}。",
        "de": "Gelesen als: {words}.",
        "fr": "Lu comme : {words}.",
        "es": "Leído como: {words}.",
        "it": "Letto come: {words}.",
        "pt": "Lido como: {words}.",
        "nl": "Gelezen als: {words}.",
    },
    "unsaved": {
        "en": "This answer could not be saved.",
        "zh": "此回答未能保存。",
        "de": "Diese Antwort konnte nicht gespeichert werden.",
        "fr": "Cette réponse n'a pas pu être enregistrée.",
        "es": "No se pudo guardar esta respuesta.",
        "it": "Non è stato possibile salvare questa risposta.",
        "pt": "Não foi possível guardar esta resposta.",
        "nl": "Dit antwoord kon niet worden opgeslagen.",
    },
    "waiting": {
        "en": "Waiting for the language model, number {position} in line.",
        "zh": "正在等待语言模型，排在第 {position} 位。",
        "de": "Wartet auf das Sprachmodell, Platz {position}.",
        "fr": "En attente du modèle de langage, position {position}.",
        "es": "Esperando al modelo de lenguaje, puesto {position}.",
        "it": "In attesa del modello linguistico, posizione {position}.",
        "pt": "À espera do modelo de linguagem, posição {position}.",
        "nl": "Wacht op het taalmodel, nummer {position} in de rij.",
    },
    "writing": {
        "en": "Writing the answer.",
        "zh": "正在撰写回答。",
        "de": "Die Antwort wird geschrieben.",
        "fr": "Rédaction de la réponse.",
        "es": "Escribiendo la respuesta.",
        "it": "Scrittura della risposta.",
        "pt": "A escrever a resposta.",
        "nl": "Het antwoord wordt geschreven.",
    },
}


def named(code: Language) -> str:
    """How a model is told which language to answer in."""
    return "Chinese, as the question is" if code == "zh" else "the language of the question"


def spoken(text: str, wanted: str | None = None) -> Language:
    """The language of the fixed sentences for a question. wanted: a tag that the asker named, such as 'de-CH'."""
    code = wanted.lower().split("-")[0] if wanted else "zh" if chinese(text) else language(text)
    return next((known for known in LANGUAGES if known == code), "en")


def say(key: str, language: Language, **values: object) -> str:
    """The sentence, filled in."""
    return _TEXTS[key][language].format(**values)
