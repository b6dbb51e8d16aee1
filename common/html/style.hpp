// The style sheet of the pages.
#pragma once

#include <string_view>

namespace crx::html {

inline constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --bg:#f7f7f5; --card:#ffffff; --text:#1d2126; --soft:#5d6670; --line:#dfe2e5;
  --raw:#2f6fb2; --compressed:#3f9c7a; --zero:#a4adb6; --stop:#c8442f; --calm:#8d99a6; --good:#2b7d55; }
@media (prefers-color-scheme: dark) { :root { --bg:#14171a; --card:#1d2125; --text:#e8eaec; --soft:#9aa4ae;
  --line:#343a41; --raw:#5b9be0; --compressed:#5fc29c; --zero:#6b757f; --stop:#f0705a; --calm:#76828e;
  --good:#5fc29c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 36px 20px 60px; }
h1 { font-size: 25px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 12px; }
p { margin: 0 0 8px; overflow-wrap: anywhere; } a { color: var(--raw); }
.sub { color: var(--soft); margin: 0 0 24px; } .note { color: var(--soft); font-size: 13px; margin: 12px 0 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-bottom: 16px; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 12px 14px; min-width: 0; }
.tile b { display: block; font-size: 21px; line-height: 1.25; overflow-wrap: anywhere; }
.tile span { color: var(--soft); font-size: 13px; } .tile.stop b, .tile.bad b { color: var(--stop); }
.tile.good b { color: var(--good); }
section { padding: 18px 20px; margin-bottom: 16px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); gap: 0 16px; align-items: start; }
section.bad { border-color: var(--stop); border-left-width: 5px; }
.row { display: grid; grid-template-columns: 148px minmax(0, 1fr) minmax(110px, auto); gap: 0 12px;
  align-items: center; font-size: 13px; min-height: 26px; font-variant-numeric: tabular-nums; }
.rows .row { grid-template-columns: 148px minmax(0, 1fr) 190px; }
.name.in { padding-left: 14px; color: var(--soft); } .value { color: var(--soft); text-align: right; }
.sum { border-top: 1px solid var(--line); font-weight: 600; } .sum .value { color: var(--text); }
.track { position: relative; height: 18px; border-radius: 2px;
  background: linear-gradient(90deg, var(--line) 1px, transparent 1px) 0 0 / var(--step, 100%) 100%; }
.track i { position: absolute; top: 0; height: 18px; min-width: 2px; border-radius: 2px; }
.sum .track { background: none; } .axis .track { background: none; height: 22px; }
.axis em { position: absolute; font-style: normal; color: var(--soft); font-size: 12px; transform: translateX(-50%);
  white-space: nowrap; }
.axis em.end { transform: translateX(-100%); } .axis em:first-child { transform: none; }
.raw { background: var(--raw); } .compressed { background: var(--compressed); } .zero { background: var(--zero); }
.stop { background: var(--stop); } .calm { background: var(--calm); } .tile.stop { background: var(--card); }
.key { color: var(--soft); font-size: 13px; margin: 10px 0 0; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin: 0 5px 0 12px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px; text-align: right; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; } td.short { white-space: nowrap; } th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child, th.left, td.left { text-align: left; }
th:first-child, td:first-child { padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
tr:last-child td { border-bottom: 0; }
@media (max-width: 700px) {
  main { padding: 20px 12px 40px; } h1 { font-size: 21px; } section { padding: 14px; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 8px; } .tile { padding: 10px 12px; }
  .tile b { font-size: 19px; }
  .row, .rows .row { grid-template-columns: minmax(0, 1fr) auto; padding: 4px 0; }
  .track { grid-column: 1 / -1; grid-row: 2; height: 12px; } .track i { height: 12px; }
  .sum .track, .axis .name, .axis .value { display: none; } .axis em:nth-child(even) { display: none; }
  table, tbody, tr, td { display: block; } tr.head { display: none; }
  tr { border-bottom: 1px solid var(--line); padding: 8px 0; } tr:last-child { border-bottom: 0; }
  td, td.left, td:first-child { display: flex; justify-content: space-between; gap: 16px; text-align: right;
    border: 0; padding: 2px 0; }
  td::before { content: attr(data-label); color: var(--soft); text-align: left; flex: none; }
  td:first-child { font-weight: 600; }
  .two tr { display: flex; justify-content: space-between; gap: 16px; padding: 4px 0; } .two td::before { content: none; }
  .two td:first-child { font-weight: 400; text-align: left; }
}
)css";

}  // namespace crx::html
