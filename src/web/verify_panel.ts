/**
 * Runs the laws in the page, in a second engine, so that text generation is not blocked.
 */
import { readOption, wholeOption } from '../tensor/option.ts'
import type { LawReport } from '../verify/index.ts'
import { startEngine } from './engine/start_engine.ts'
import { lineOf } from './session.ts'
import { byId, fillSelect, make, tellProblem, type Choice } from './view/dom.ts'

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
  const body = make('tbody')
  const heading = ['', 'Law', 'cases', 'digest', 'ms'].map((text) => make('th', { scope: 'col', text }))
  byId('verify-table').replaceChildren(make('table', {}, make('thead', {}, make('tr', {}, ...heading)), body))
  const engine = startEngine()
  const reports: LawReport[] = []
  const report = (end: string): void => {
    const broken = reports.filter(({ passed }) => !passed).length
    const held = reports.length - broken
    answer.textContent = `Seed ${seed}: ${held} laws hold, ${broken} broken. ${end}`
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
      body.append(row(lawReport as LawReport))
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

function row({ law, chapter, passed, runs, digest, milliseconds, report }: LawReport): HTMLElement {
  const words = passed ? [law] : [law, make('pre', { text: report ?? '' })]
  return make(
    'tr',
    { class: passed ? 'held' : 'broken' },
    make('th', { scope: 'row', text: passed ? '✓' : '✗ broken' }),
    make('td', {}, `${chapter}: `, ...words),
    make('td', { text: String(runs) }),
    // Of a law that draws no cases it is zero.
    make('td', { text: Number.parseInt(digest, 16) === 0 ? '–' : digest }),
    make('td', { text: milliseconds.toFixed(0) }),
  )
}
