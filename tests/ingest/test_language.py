"""The language of a text."""

from __future__ import annotations

import pytest

from ingest.language import detect


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The tank is filled from above, and it must not be opened while the pump is running."),
        ("de", "Der Tank wird von oben gefüllt und darf nicht geöffnet werden, wenn die Pumpe läuft."),
        ("fr", "Le réservoir est rempli par le haut et ne doit pas être ouvert pendant que la pompe tourne."),
        (
            "es",
            "El tanque se llena por la parte superior y no se debe abrir mientras la bomba está en marcha.",
        ),
        ("zh", "水箱编号为WT-205，保修期三年。请使用DC-1除垢剂，不要使用白醋。"),
        ("zh-Hant", "水箱編號為WT-205，保固期兩年。請使用DC-1除垢劑，不要使用白醋。"),
        ("ja", "水タンクの番号はWT-205です。保証期間は三年です。"),
        ("ko", "물탱크는 위에서 채우며 펌프가 작동하는 동안 열지 마십시오."),
        ("ru", "Бак заполняется сверху, и его нельзя открывать во время работы насоса."),
        ("", "4711 0815 12.5 %"),
        ("", "Feuil1 Tabelle2 Xyz"),
    ],
)
def test_detect(language: str, text: str) -> None:
    assert detect(text) == language


def test_a_chinese_manual_with_english_names_is_chinese() -> None:
    assert detect("请在 Settings 中打开 Wi-Fi Direct 选项，然后点击 Connect 连接设备。") == "zh"
