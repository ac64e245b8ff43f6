"""The text over which two versions of a model's weights are compared.

Short passages of many kinds, because requantised weights fail unevenly: prose, questions, several
languages and scripts, code, JSON, SQL, markup.
"""

from __future__ import annotations

PASSAGES = (
    "The lighthouse keeper counted the ships that passed before dawn and wrote each name in a "
    "ledger bound with blue cloth. On 14 March 1897 there were eleven; two carried timber.",
    "Q: A baker sells 48 rolls in the morning and half as many in the afternoon. How many rolls "
    "does she sell that day? A: 48 / 2 = 24 in the afternoon, so 48 + 24 = 72 rolls.",
    "Die Brücke über den Fluss wurde im Frühjahr gesperrt, weil das Hochwasser zwei Pfeiler "
    "beschädigt hatte. Seitdem fährt der Bus einen Umweg.",
    "Le marché ouvre à sept heures ; les pêcheurs y vendent leur prise de la nuit, et les enfants "
    "viennent chercher du pain chaud.",
    "El tren de las nueve llegó con retraso porque había nevado en la sierra durante la noche.",
    "Поезд прибыл на станцию рано утром, и пассажиры вышли на пустую платформу.",
    "وصل القطار إلى المحطة في الصباح الباكر ونزل الركاب إلى رصيف خالٍ.",
    "市场早上七点开门。渔民在那里卖掉夜里的收获。",
    "駅前の小さな本屋は、雨の日だけ夜遅くまで開いている。",
    "def median(values: list[float]) -> float:\n    ordered = sorted(values)\n"
    "    half = len(ordered) // 2\n    if len(ordered) % 2:\n        return ordered[half]\n",
    "for (size_t i = 0; i < n; ++i) {\n    if (seen[i] != 0) { total += weight[i] * rate; }\n}\n",
    '{"name": "timber", "version": "2.4.1", "license": "MIT", "requires": ["python >= 3.10"]}\n',
    "SELECT city, COUNT(*) AS n FROM visits WHERE day >= '2024-01-01' GROUP BY city LIMIT 10;\n",
    '<ul class="menu"><li><a href="/about">About us</a></li><li><a href="/help">Help</a></li></ul>',
)
