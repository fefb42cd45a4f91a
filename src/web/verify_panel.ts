/**
 * Runs the laws in the page, in a second engine, so that text generation is not blocked.
 */
import { readOption, wholeOption } from '../tensor/option.ts'
import type { LawReport } from '../verify/index.ts'
import { startEngine } from './engine/start_engine.ts'
import { lineOf } from './session.ts'
import { byId, counted, fillSelect, make, tellProblem, type Choice } from './view/dom.ts'

const cases: readonly Choice[] = [
  ['0.1', 'a tenth'],
  ['1', 'as many as in the tests'],
  ['10', 'ten times as many'],
]

/** The seeds that `shadowllm verify` takes too. */
const seedOfLaws = wholeOption('SEED', 0, 2 ** 31 - 1)

/** Wires the panel; it draws a new seed for each visit. */
export function startVerifyPanel(): void {
  const seed = byId<HTMLInputElement>('seed')
  const stop = byId<HTMLButtonElement>('verify-stop')
  seed.value = String(crypto.getRandomValues(new Int32Array(1))[0] & 0x7fffffff)
  fillSelect(byId('cases'), cases)
  fillSelect(byId('backend'), ['wasm', 'wasm-relaxed', 'reference'])
  let running: AbortController | null = null
  stop.addEventListener('click', () => running?.abort())
  byId('verify').addEventListener('submit', (event) => {
    event.preventDefault()
    if (running) return
    const controller = (running = new AbortController())
    stop.disabled = false
    tellProblem('') // of something else
    void run(seed.value, controller.signal).finally(() => {
      running = null
      stop.disabled = true
    })
  })
}

async function run(seed: string, signal: AbortSignal): Promise<void> {
  const answer = byId('verify-answer')
  const suites = new Map<string, Suite>()
  byId('verify-table').replaceChildren()
  const engine = startEngine()
  const reports: LawReport[] = []
  const report = (end: string): void => {
    answer.textContent = `Seed ${seed}: ${countsOf(reports)}. ${end}`
  }
  report('Running …')
  try {
    const options = {
      backends: [byId<HTMLSelectElement>('backend').value],
      seed: readOption('seed', seed.trim(), seedOfLaws),
      runs: Number(byId<HTMLSelectElement>('cases').value),
    }
    for await (const lawReport of engine.rpc.iterate('verify', [options], { signal })) {
      reports.push(lawReport as LawReport)
      addTo(suites, lawReport as LawReport)
      report('Running …')
    }
    report('Done.')
  } catch (error) {
    if (signal.aborted) report('Stopped.')
    else answer.textContent = lineOf(error)
  } finally {
    await engine.end()
  }
}

/** The laws of one suite, folded below their count. */
interface Suite {
  readonly reports: LawReport[]
  readonly root: HTMLDetailsElement
  readonly summary: HTMLElement
  readonly body: HTMLElement
}

/** Adds a law to its suite, which opens where one is broken. */
function addTo(suites: Map<string, Suite>, report: LawReport): void {
  const { chapter, passed } = report
  const suite = suites.get(chapter) ?? newSuite()
  if (!suites.has(chapter)) byId('verify-table').append(suite.root)
  suites.set(chapter, suite)
  suite.reports.push(report)
  suite.body.append(row(report))
  suite.summary.textContent = `${chapter}: ${countsOf(suite.reports)}`
  if (!passed) suite.root.open = true
}

function newSuite(): Suite {
  const body = make('tbody')
  const summary = make('summary')
  const heading = ['', 'Law', 'cases', 'digest', 'ms'].map((text) => make('th', { scope: 'col', text }))
  const table = make('table', {}, make('thead', {}, make('tr', {}, ...heading)), body)
  return { reports: [], root: make('details', {}, summary, table), summary, body }
}

function countsOf(reports: readonly LawReport[]): string {
  const held = reports.filter(({ passed }) => passed).length
  return `${counted(held, 'law')} held, ${reports.length - held} broken`
}

function row({ law, passed, runs, digest, milliseconds, report }: LawReport): HTMLElement {
  const words = passed ? [law] : [law, make('pre', { text: report ?? '' })]
  return make(
    'tr',
    { class: passed ? 'held' : 'broken' },
    make('th', { scope: 'row', text: passed ? '✓' : '✗ broken' }),
    make('td', {}, ...words),
    make('td', { text: String(runs) }),
    // Of a law that draws no cases it is zero.
    make('td', { text: Number.parseInt(digest, 16) === 0 ? '–' : digest }),
    make('td', { text: milliseconds.toFixed(0) }),
  )
}
