"""How the report looks (value module)."""

from __future__ import annotations

STYLE = """
:root{--ink:#1d2733;--soft:#5d6b7a;--line:#e3e8ee;--page:#f5f7f9;--card:#fff;--row:#f0f3f6}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#97a5b4;--line:#2d3845;--page:#12181f;--card:#1a222c;--row:#222c38}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:28px;margin:0}h2{font-size:18px;margin:0 0 4px}h3{font-size:15px;margin:20px 0 4px}
header p,section>p{color:var(--soft);margin:2px 0 10px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:20px 0}
.card,section{background:var(--card);border:1px solid var(--line);border-radius:10px}
.card{padding:14px 16px}.card b{display:block;font-size:22px;font-weight:600}.card span{color:var(--soft);font-size:13px}
section{padding:18px 20px;margin:16px 0}
svg{display:block;width:100%;height:auto}
svg text{font-size:11.5px;fill:var(--soft)}svg .grid{stroke:var(--line)}svg .axis{stroke:var(--soft)}svg .row{fill:var(--row)}
.keys{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px}
i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px}
i.dash{background:none;border-top:2px dashed var(--ink);border-radius:0;height:0;vertical-align:4px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}
footer{color:var(--soft);font-size:13px}
"""
