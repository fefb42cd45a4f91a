/**
 * The look of the page: one column of text, tables and figures as wide as the window, quiet rules, on light and on dark paper.
 *
 * Figures are drawn in the colours of light paper; on dark paper the rules at the end put others in their place, which
 * works because a style sheet outranks what is written on the elements.
 */
import { paperColours } from './plot_spec.ts'
import { seriesColours } from './series.ts'

const exchanged: readonly (readonly [string, string])[] = [...seriesColours, ...Object.values(paperColours)]

/** Rules that put the colours of dark paper in the place of those of light paper. */
export const darkFigures: string = exchanged
  .flatMap(([light, dark]) => [
    `svg [fill="${light}"]{fill:${dark}}`,
    `svg [stroke="${light}"]{stroke:${dark}}`,
  ])
  .join('\n  ')

/** From 0 to 10 tenths skipped: ten shades of one colour. */
const shades = Array.from(
  { length: 11 },
  (_, tenth) => `.share-${tenth}{background:color-mix(in srgb,var(--accent) ${tenth * 6}%,transparent)}`,
).join('\n')

/** The whole style sheet. */
export const pageStyle: string = `
:root{color-scheme:light dark;--paper:#fff;--ink:#1d2329;--soft:#586470;--rule:#dde2e6;--tint:#f5f7f8;--accent:#0072b2;--warn:#b34a00}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,main,footer{max-width:84rem;margin:0 auto;padding:0 1.5rem}
p,.findings,nav,details{max-width:50rem}
details:has(.table){max-width:none}
header{padding-top:3.5rem}
footer{padding-bottom:4rem}
h1,h2,h3{line-height:1.25;text-wrap:balance;margin:0}
h1{font-size:2rem;letter-spacing:-.02em}
h2{font-size:1.375rem;letter-spacing:-.01em}
h3{font-size:1rem}
p{margin:.75rem 0}
a{color:var(--accent);text-underline-offset:.15em;text-decoration-thickness:.06em}
a:focus-visible,[tabindex]:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.lead,.asks{color:var(--soft)}
.lead{font-size:1.0625rem}
.asks{margin-top:.35rem}
nav ol{margin:1.5rem 0 0;padding:1rem 0 1rem 1.4rem;border-top:1px solid var(--rule);border-bottom:1px solid var(--rule)}
nav li{padding:.12rem 0}
nav li::marker{color:var(--soft);font-variant-numeric:tabular-nums}
section{margin-top:4rem}
header+main>section:only-child{margin-top:1.25rem}
.findings{margin:1.25rem 0;padding:0;list-style:none}
.findings li{padding:.1rem 0 .1rem 1rem;border-left:3px solid var(--accent);margin:.6rem 0}
.findings li:first-child{font-size:1.1875rem;line-height:1.45;font-weight:600}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,36rem),1fr));gap:0 3rem}
.stopped{color:var(--warn);font-weight:600}
figure{margin:2.25rem 0}
figure h3{margin-bottom:.5rem}
figure svg.plot{display:block;width:100%;height:auto;max-width:680px}
figure svg.narrow{display:none}
figcaption{color:var(--soft);font-size:.875rem;margin-top:.5rem}
.legend{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;list-style:none;margin:0 0 .6rem;padding:0;font-size:.9375rem}
.legend li{display:flex;align-items:center;gap:.5rem}
.legend svg{flex:none}
.command{display:block;margin:.5rem 0 0;padding:.5rem .75rem;background:var(--tint);border-radius:6px;overflow-x:auto;white-space:pre;color:var(--ink);font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.made-by{display:block;margin-top:.35rem;font:.75rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.command::before,.made-by::before{content:"$ ";color:var(--soft);user-select:none}
details{margin:.5rem 0;font-size:.875rem}
summary{cursor:pointer;color:var(--soft)}
.tables{display:flex;flex-wrap:wrap;align-items:flex-start;gap:1.5rem 3rem;margin:1.5rem 0}
.table{overflow-x:auto;max-width:100%;background:linear-gradient(to right,var(--paper) 30%,transparent) left/2.5rem 100% no-repeat local,linear-gradient(to left,var(--paper) 30%,transparent) right/2.5rem 100% no-repeat local,linear-gradient(to right,var(--rule),transparent) left/.9rem 100% no-repeat scroll,linear-gradient(to left,var(--rule),transparent) right/.9rem 100% no-repeat scroll}
details .table{margin:.75rem 0}
table{border-collapse:collapse;font-size:.875rem;line-height:1.4;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding-bottom:.5rem}
caption small{display:block;font-weight:400;max-width:24rem;color:var(--soft);font-size:.8125rem}
th,td{padding:.24rem .9rem .24rem 0;text-align:left;vertical-align:baseline;white-space:nowrap}
thead th{vertical-align:bottom;font-weight:600;border-bottom:1px solid var(--ink);white-space:normal;min-width:3.5rem}
thead th small{display:block;font-weight:400;color:var(--soft)}
tbody th{font-weight:400}
tbody tr+tr>*{border-top:1px solid var(--rule)}
tbody tr.group>*{border-top:1px solid var(--soft)}
.number{text-align:right}
.number:not(:last-child){padding-right:1.25rem}
.none{color:var(--soft)}
.shares td{padding:.34rem .45rem;text-align:right}
.shares thead th{padding:.34rem .45rem;text-align:right}
.shares th:first-child{padding-left:0;text-align:left}
${shades}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.25rem;font-size:.875rem;margin:1rem 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
dd code,.origin code{font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.origin{color:var(--soft);font-size:.8125rem;overflow-wrap:anywhere}
@media (max-width:40rem){
  header{padding-top:2rem}
  h1{font-size:1.625rem}
  section{margin-top:3rem}
  figure svg.wide{display:none}
  figure svg.narrow{display:block;max-width:400px}
  dl{grid-template-columns:1fr;gap:0}
  dd{margin-bottom:.5rem}
}
@media print{
  body{font-size:11pt}
  section{break-before:auto}
  figure,table{break-inside:avoid}
  nav{display:none}
}
@media screen and (prefers-color-scheme:dark){
  :root{--paper:#14181c;--ink:#e6eaed;--soft:#9aa5af;--rule:#2b333a;--tint:#1c2228;--accent:#5cb3ec;--warn:#f5a165}
  ${darkFigures}
}
`
