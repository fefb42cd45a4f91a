/**
 * The report as one HTML file without scripts, fonts, images or requests. Its content security policy forbids all of them,
 * so that no content of a report can load anything.
 *
 * The same results give the same bytes. Text from outside (names of models, files, commands) is escaped by `markup`.
 */
import { sha256 } from '../../platform/platform.ts'
import type { ExperimentResult, Plot } from '../../results/experiment_result.ts'
import type { Provenance } from '../../results/provenance.ts'
import { figure } from '../../results/cells.ts'
import { drawPlot } from './draw.ts'
import { countMissing, describePlot } from './figure_words.ts'
import { markup, trusted, type Content, type Markup } from './markup.ts'
import { figureSizes } from './plot_spec.ts'
import { seriesStyles } from './series.ts'
import { pageStyle } from './style.ts'
import { htmlTable, layerTable, pointsTable } from './html_tables.ts'

/** The page, ready to be written to a file. */
export async function renderHtml(
  results: readonly ExperimentResult[],
  provenance: Provenance,
): Promise<string> {
  const sections: Markup[] = []
  const single = results.length === 1
  for (const [i, result] of results.entries()) {
    const id = `experiment-${i + 1}`
    const head = single ? null : markup`<h2 id="${id}">${result.title}</h2>`
    sections.push(await section(result, id, head))
  }
  const title = single ? results[0].title : 'ShadowLLM, measured'
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${await policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${trusted(pageStyle)}</style>
</head>
<body>
<header>
<h1${single ? markup` id="experiment-1"` : null}>${title}</h1>
<p class="lead">${lead(results, provenance)}</p>
${results.length > 1 ? contents(results) : null}
</header>
<main>
${sections}
</main>
<footer>
<section>
<h2 id="provenance">Where these numbers come from</h2>
${provenanceList(provenance)}
</section>
</footer>
</body>
</html>
`
  return page.html
}

/** The content security policy, which allows the style sheet of the page and nothing else. */
async function policy(): Promise<string> {
  const hex = await sha256(pageStyle)
  const bytes = hex.match(/../g) ?? []
  const hash = btoa(String.fromCharCode(...bytes.map((byte) => Number.parseInt(byte, 16))))
  return `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`
}

function lead(results: readonly ExperimentResult[], { model, processor, date }: Provenance): string {
  const what = results.length === 1 ? 'An experiment' : `${results.length} experiments`
  return `${what} of ShadowLLM (arXiv 2406.16635) on ${model.name}, ${processor}, ${date.slice(0, 10)}.`
}

function contents(results: readonly ExperimentResult[]): Markup {
  const items = results.map(
    ({ title }, i) => markup`<li><a href="#experiment-${i + 1}">${title}</a></li>
`,
  )
  return markup`<nav aria-label="Experiments"><ol>
${items}</ol></nav>`
}

/** One experiment. @param head its heading; null for the only experiment of a page, which has the heading of the page */
async function section(result: ExperimentResult, id: string, head: Markup | null): Promise<Markup> {
  const { asks, columns, rows, paper, findings, plots, layers = [], command, complete } = result
  const figures: Markup[] = []
  for (const [i, plot] of plots.entries())
    figures.push(await plotFigure(plot, `${id}-figure-${i + 1}`, command))
  return markup`<section aria-labelledby="${id}">
${head}
<p class="asks">${asks}</p>
${complete ? null : markup`<p class="stopped">The run was stopped. These results were finished before.</p>`}
${findings.length > 0 ? markup`<ul class="findings">${findings.map((one) => markup`<li>${one}</li>`)}</ul>` : null}
${
  figures.length > 0
    ? markup`<div class="figures">${figures}</div>
`
    : null
}<div class="tables">
${rows.length > 0 ? htmlTable(columns, rows, 'This run', null) : markup`<p>Nothing was measured.</p>`}
${paper === null ? null : htmlTable(paper.columns, paper.rows, 'Published', paper.source)}</div>
${layers.length > 0 ? markup`<details><summary>Units skipped, layer by layer</summary>${layers.map(layerTable)}</details>` : null}
<code class="command">${command}</code>
${origin(result)}
</section>
`
}

async function plotFigure(plot: Plot, id: string, command: string): Promise<Markup> {
  const drawings: Markup[] = []
  for (const size of figureSizes) {
    const { width, height, content } = await drawPlot(plot, size)
    const own = `${id}-${size.name}`
    drawings.push(markup`<svg class="plot ${size.name}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${own}-title" aria-describedby="${own}-text" xmlns="http://www.w3.org/2000/svg"><title id="${own}-title">${plot.title}</title><desc id="${own}-text">${describePlot(plot)}</desc>${trusted(content)}</svg>
`)
  }
  return markup`<figure>
<h3>${plot.title}</h3>
${plot.series.length > 1 ? legend(plot) : null}${drawings}<figcaption>
${caption(plot)}
<details><summary>The figure in numbers</summary>${pointsTable(plot)}</details>
<code class="made-by">${command}</code>
</figcaption>
</figure>
`
}

/** Notes on a drawing: its error bars, a logarithmic scale, missing points; null if there are none. */
function caption(plot: Plot): Content {
  const missing = countMissing(plot)
  const bars = plot.series.some(({ points }) => points.some(({ error }) => error !== undefined))
  const words = [
    bars ? 'Error bars are one standard error to each side.' : '',
    plot.y.scale === 'log' ? 'The scale is logarithmic.' : '',
    missing > 0 ? `${missing} ${missing === 1 ? 'point has' : 'points have'} no place in the figure.` : '',
  ].filter((word) => word !== '')
  return words.length > 0 ? words.join(' ') : null
}

function legend(plot: Plot): Markup {
  const styles = seriesStyles(plot.series.map(({ name }) => name))
  const items = plot.series.map(({ name }, i) => {
    const { colour, mark, dash } = styles[i]
    const width = plot.kind === 'line' ? 44 : 14
    const line = markup`<path d="M0,7H44" fill="none" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash.join(',')}"/>`
    return markup`<li><svg width="${width}" height="14" viewBox="0 0 ${width} 14" aria-hidden="true" xmlns="http://www.w3.org/2000/svg">${plot.kind === 'line' ? line : null}<path transform="translate(${width / 2},7) scale(5)" d="${mark}" fill="${colour}"/></svg>${name}</li>
`
  })
  return markup`<ul class="legend">
${items}</ul>
`
}

/** The model, data, seed, backend and duration of an experiment, in one line. */
function origin({ provenance, seconds }: ExperimentResult): Markup {
  const { model, data, seed, backend } = provenance
  return markup`<p class="origin">${model.name}; ${data.name}; seed ${seed}; backend ${backend}; ${figure(seconds, seconds < 10 ? 1 : 0)} s</p>`
}

function provenanceList(provenance: Provenance): Markup {
  const { version, commit, processor, threads, backend, device, model, data } = provenance
  const { hub } = model
  const revision = hub && markup`${hub.revision} of ${hub.repository}, commit <code>${hub.commit}</code>`
  const rows: readonly (readonly [string, Content])[] = [
    ['shadowllm', commit === null ? version : markup`${version}, commit <code>${commit}</code>`],
    ['runs on', `${provenance.runtime}, ${provenance.system}`],
    ['processor', `${processor}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`],
    ['backend', device === null ? backend : `${backend} on ${device}`],
    ['model', markup`${model.name}, SHA-256 <code>${model.hash}</code>`],
    ...(revision ? [['revision', revision] as const] : []),
    ['data', markup`${data.name}, SHA-256 <code>${data.hash}</code>`],
    ['seed', provenance.seed],
    ['command', markup`<code>shadowllm ${provenance.argv.join(' ')}</code>`],
    ['begun', provenance.date],
  ]
  return markup`<dl>
${rows.map(
  ([name, value]) => markup`<dt>${name}</dt><dd>${value}</dd>
`,
)}</dl>`
}
