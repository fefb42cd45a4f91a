/**
 * Whether solved examples before the prompt make better traces. On text, a solved example is another window of the same
 * genre, prompt and continuation, from another document where there is one; masks are then made for prompts without.
 * Tasks have shots of their own: `shadowllm calibrate --tasks ... --shots K`.
 */
import { Random } from '../tensor/random.ts'
import { shadowSettings } from './methods.ts'
import { makeMethod, type ExampleSettings } from '../evaluation/method.ts'
import type { ExperimentCache } from '../evaluation/cache/experiment_cache.ts'
import type { Window } from '../data/windows.ts'
import type { Experiment, Finding } from './experiment.ts'
import { publishedShots } from './published.ts'
import { measureVariants, percent, sayDifference, variantColumns, type Variant } from './variants.ts'

const shares = [0.5, 0.7]
const shots = [0, 1, 2]

/** Windows small enough that two more fit before each. */
function smallWindows(positions: number): { prompt: number; continuation: number } {
  const room = Math.floor(Math.min(256, positions) / (shots.length + 0.2))
  const continuation = Math.floor(room * 0.4)
  return { prompt: room - continuation, continuation }
}

/** Windows behind `count` others of their genre, which were drawn after them. */
export function windowsWithShots(
  cache: ExperimentCache,
  count: number,
  seed: number,
  before: number,
): Window[] {
  const windows = cache.windows('calibrate', count, seed)
  const genres = Map.groupBy(windows, ({ genre }) => genre)
  const random = new Random(seed)
  return windows.map((window) => {
    const peers = (genres.get(window.genre) ?? []).filter((other) => other !== window)
    const others = peers.filter(({ document }) => document !== window.document)
    const from = others.length >= before ? others : peers
    const chosen = [...random.permutation(from.length).subarray(0, before)].map((place) => from[place])
    // A window begins with </s>, which only the first may.
    const solved = chosen.flatMap(({ tokens }) => [...tokens.subarray(1)])
    const [first, ...rest] = window.tokens
    return {
      ...window,
      tokens: Int32Array.of(first, ...solved, ...rest),
      promptLength: window.promptLength + solved.length,
    }
  })
}

/** Traces with and without solved examples. */
export const fewShot: Experiment = {
  name: 'few-shot',
  title: 'Solved examples before calibration prompts',
  asks: 'Do traces of prompts that begin with solved examples choose better units? (The few-shot ablation, 0, 3 and 5 shots.)',
  async run(context): Promise<Finding> {
    const { settings } = context
    const examplesOf = (count: number): ExampleSettings => ({
      count: Math.min(240, settings.calibration),
      shots: count,
    })
    const cache = await context.openCache({
      ...smallWindows(context.cache.model.config.positions),
      shotWindows: windowsWithShots,
    })
    try {
      const variants = shots.flatMap((count): Variant[] => {
        const examples = examplesOf(count)
        return [
          {
            label: `static, ${count} shots`,
            method: (sparsity) =>
              makeMethod({ planner: 'static', criterion: 'plainact', sparsity, examples }),
          },
          {
            label: `fisher, static, ${count} shots`,
            method: (sparsity) => makeMethod({ planner: 'static', criterion: 'fisher', sparsity, examples }),
          },
          {
            label: `ShadowLLM, ${count} shots`,
            method: (sparsity) =>
              makeMethod({
                planner: 'shadow',
                criterion: 'plainact',
                sparsity,
                examples,
                predictor: shadowSettings(settings),
              }),
          },
        ]
      })
      for (const seed of context.seeds)
        for (const count of shots) await cache.examples(examplesOf(count), seed, ['plainact', 'fisher'])
      const measured = await measureVariants({ ...context, cache }, variants, shares)
      return {
        columns: variantColumns,
        rows: measured.rows(),
        plots: [measured.plot('Perplexity by shots before the calibration prompts')],
        paper: publishedShots,
        findings: shares.map((share) => {
          const said = ['static', 'fisher, static', 'ShadowLLM'].map((form) => {
            const [most, none] = [`${form}, ${shots[shots.length - 1]} shots`, `${form}, 0 shots`]
            return sayDifference(most, none, measured.difference(most, none, share))
          })
          return `At ${percent(share)}: ${said.join('; ')}.`
        }),
      }
    } finally {
      await cache.dispose()
    }
  },
}
