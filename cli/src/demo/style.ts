/** Style of the demo's page, added to report/base_style.ts. */
export const demoStyle = `
.legend, .failures { background: var(--card); border: 1px solid var(--line); border-radius: 20px; padding: 20px; margin-bottom: 20px; }
.legend h2, .failures h2 { display: block; font-size: 22px; letter-spacing: -0.01em; }
.legend dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; font-size: 15px; }
.legend dt { font-weight: 600; }
.legend dd, .failures li { max-width: 60em; }
.failures { border-color: var(--warn); }
.failures p { font-size: 15px; max-width: 60em; }
.failures ul { list-style: none; display: grid; gap: 14px; margin: 14px 0; font-size: 15px; }
.failures li b a { color: var(--warn); }
.failures .remedy, .failure .remedy { color: var(--soft); }
code { white-space: nowrap; }
.content { grid-template-columns: 1fr; gap: 14px; }
.pictures { grid-template-columns: repeat(4, minmax(0, 1fr)); }
figcaption b { float: right; color: var(--ink); font-variant-numeric: tabular-nums; }
.objects { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px 28px; align-content: start; padding-bottom: 0; }
.line .badge { font-size: 12px; font-weight: 600; color: var(--card); background: var(--warn); border-radius: 999px; padding: 0 8px; }
.row { display: grid; grid-template-columns: 6em 1fr 3em; gap: 10px; white-space: nowrap; align-items: center; font-size: 13px; margin-top: 4px; }
.row .bar { margin: 0; }
.row b { text-align: right; font-variant-numeric: tabular-nums; }
.row span:first-child { color: var(--soft); }
.failure { font-size: 13px; margin-top: 8px; padding-left: 10px; border-left: 3px solid var(--warn); }
@media (max-width: 900px) {
  .objects { grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); }
}
@media (max-width: 600px) {
  .stats { grid-template-columns: 1fr 1fr; gap: 10px; }
  .stat { padding: 12px 14px; }
  .stat dd { font-size: 24px; }
  .legend, .failures { padding: 16px; }
  .legend dl { grid-template-columns: 1fr; gap: 0; }
  .legend dd { margin-bottom: 8px; }
  .pictures { grid-template-columns: 1fr 1fr; }
  .pictures figure:last-child { grid-column: auto; grid-row: auto; }
}
`
