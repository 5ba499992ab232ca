/** Style of a report, added to base_style.ts. */
export const reportStyle = `
main { display: grid; gap: 20px; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 20px; padding: 24px; box-shadow: var(--shadow); min-width: 0;
}
section > h2 { display: block; font-size: 22px; letter-spacing: -0.01em; margin-bottom: 6px; }
section > p { color: var(--soft); font-size: 14px; max-width: 60em; margin-bottom: 16px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 500; color: var(--soft); font-size: 13px; padding: 6px 10px; border-bottom: 1px solid var(--line); }
td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td:first-child { white-space: normal; overflow-wrap: break-word; min-width: 7em; max-width: 26em; }
tr.mean td { font-weight: 650; border-bottom: 0; }
td .swatch { display: inline-block; vertical-align: -2px; margin-right: 10px; border: 1px solid var(--line); }
td.graph { width: 34%; min-width: 120px; }
td.graph .bar { margin: 0; }
.fill { background: var(--accent); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 24px 28px; }
.charts figure { min-width: 0; }
svg { max-width: 100%; height: auto; overflow: visible; }
.scroll svg { max-width: none; }
.example { padding: 18px 0; border-top: 1px solid var(--line); }
.example h3 { display: flex; flex-wrap: wrap; gap: 6px 16px; align-items: baseline; font-size: 14px; font-weight: 600; margin-bottom: 10px; }
.example h3 .score { font-variant-numeric: tabular-nums; }
.example h3 .tag { display: inline-flex; align-items: center; gap: 6px; font-weight: 400; color: var(--soft); font-size: 13px; }
.example img { object-fit: contain; object-position: center; background: var(--track); }
.settings { display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; font-size: 14px; }
.settings dt { color: var(--soft); }
.settings dd { overflow-wrap: anywhere; }
.failures { font-size: 14px; padding-left: 20px; display: grid; gap: 4px; overflow-wrap: anywhere; }
footer { padding-top: 32px; }
@media (max-width: 600px) {
  .graph { display: none; }
  section { padding: 16px; }
  .settings { grid-template-columns: 1fr; gap: 0; }
  .settings dd { margin-bottom: 8px; }
}
`
