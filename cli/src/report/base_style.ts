/** Style of the demo's page and of reports, for light and dark screens. */
export const pageStyle = `
:root {
  --ground: #f6f7f9; --card: #fff; --ink: #14171c; --soft: #5b6472; --line: #e2e6ec; --track: #e8ebf0; --accent: #2563eb;
  --caution: #fff7e0; --caution-line: #f0d48a; --warn: #c2410c; --shadow: 0 1px 2px #10182810, 0 8px 24px #1018280d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e1014; --card: #171a20; --ink: #eef1f6; --soft: #98a1b0; --line: #262b34; --track: #2a303a; --accent: #7fb0ff;
    --caution: #2a2412; --caution-line: #57491f; --warn: #ff9d6b; --shadow: none;
  }
}
* { box-sizing: border-box; margin: 0; padding: 0; }
body {
  background: var(--ground); color: var(--ink); line-height: 1.55; padding: 0 24px;
  font-family: Inter, system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
}
header, main, footer { max-width: 1180px; margin: 0 auto; }
header { padding: 64px 0 32px; }
.brand { font-family: ui-monospace, "SF Mono", Menlo, "Liberation Mono", monospace; font-size: 14px; color: var(--accent); }
h1 { font-size: clamp(34px, 6vw, 56px); line-height: 1.1; letter-spacing: -0.03em; margin: 8px 0 20px; }
.lead { max-width: 46em; font-size: 18px; color: var(--soft); }
.caution {
  max-width: 55em; margin: 24px 0 0; padding: 14px 18px; font-size: 15px; border-radius: 12px;
  background: var(--caution); border: 1px solid var(--caution-line);
}
.stats { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 16px; margin-top: 32px; }
.stat { background: var(--card); border: 1px solid var(--line); border-radius: 16px; padding: 16px 20px; box-shadow: var(--shadow); }
.stat dt { font-size: 13px; color: var(--soft); }
.stat dd { font-size: 30px; font-weight: 650; letter-spacing: -0.02em; line-height: 1.3; font-variant-numeric: tabular-nums; }
.stat dd.note { font-size: 13px; font-weight: 400; letter-spacing: 0; color: var(--soft); }
.key { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 8px 0 16px; font-size: 13px; color: var(--soft); }
.key span { display: inline-flex; align-items: center; gap: 10px; }
.key i { display: inline-block; }
.key-fill { width: 28px; height: 6px; border-radius: 3px; background: var(--accent); }
.key-tick { width: 2px; height: 14px; background: var(--ink); }
article {
  background: var(--card); border: 1px solid var(--line); border-radius: 20px; padding: 20px; margin-bottom: 20px;
  box-shadow: var(--shadow); scroll-margin-top: 16px;
}
h2 { display: flex; justify-content: space-between; align-items: baseline; gap: 16px; font-size: 15px; margin-bottom: 14px; }
h2 a { color: var(--soft); font-weight: 400; font-size: 13px; text-decoration: none; }
.prompt { display: flex; flex-wrap: wrap; gap: 6px; }
code { font-family: ui-monospace, "SF Mono", Menlo, "Liberation Mono", monospace; font-size: 0.92em; }
.prompt code { font-weight: 500; padding: 2px 10px; border-radius: 999px; background: var(--track); }
.content { display: grid; grid-template-columns: minmax(0, 1fr) 250px; gap: 28px; }
.pictures { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 12px; align-self: start; }
/* An overlay has its legend below; the page has a better one, so the picture alone is shown. */
img { display: block; width: 100%; height: auto; aspect-ratio: 4 / 3; object-fit: cover; object-position: top; border-radius: 10px; }
figcaption { font-size: 13px; color: var(--soft); margin-top: 6px; }
.objects { list-style: none; display: grid; gap: 16px; align-content: center; padding-bottom: 26px; }
.line { display: flex; align-items: center; gap: 10px; }
.swatch { width: 14px; height: 14px; border-radius: 4px; background: var(--colour); flex: none; }
.name { font-weight: 600; }
.off { font-size: 12px; color: var(--warn); }
.iou { margin-left: auto; font-weight: 600; font-variant-numeric: tabular-nums; }
.bar { position: relative; height: 6px; border-radius: 3px; background: var(--track); margin: 7px 0 5px; }
.fill { position: absolute; inset: 0 auto 0 0; border-radius: 3px; background: var(--colour); }
.tick { position: absolute; top: -4px; width: 2px; height: 14px; margin-left: -1px; background: var(--ink); }
.details { display: flex; justify-content: space-between; font-size: 12px; color: var(--soft); font-variant-numeric: tabular-nums; }
footer { padding: 24px 0 64px; font-size: 14px; color: var(--soft); display: grid; gap: 10px; }
footer a { color: var(--accent); }
@media (max-width: 900px) {
  .content { grid-template-columns: 1fr; gap: 16px; }
  .objects { grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); padding-bottom: 0; }
}
@media (max-width: 600px) {
  body { padding: 0 14px; }
  header { padding-top: 36px; }
  article { padding: 14px; }
  .pictures { grid-template-columns: 1fr 1fr; }
  .pictures figure:last-child { grid-column: 1 / -1; grid-row: 1; }
}
`
