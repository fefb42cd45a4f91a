/**
 * Whether solved examples before the prompt make better traces. On text, a solved example is another window of the same
 * genre, prompt and continuation, from another document where there is one; masks are then made for prompts without.
 * Tasks have shots of their own: `shadowllm calibrate --tasks ... --shots K`.
 */
import { Random } from '../tensor/random.ts'
import type { ExampleSettings } from '../results/method.ts'
import type { ExperimentCache } from './cache/experiment_cache.ts'
import type { Window } from '../data/windows.ts'
import type { Experiment, Finding } from './experiment.ts'
import { publishedShots } from './published.ts'
import { compareVariants, variant } from './variants.ts'

const shares = [0.5, 0.7]
const shots = [0, 1, 2]

/** Windows small enough that two more fit before each. */
function smallWindows(positions: number): { prompt: number; continuation: number } {
  const length = Math.floor(Math.min(256, positions) / (shots.length + 0.2))
  const continuation = Math.floor(length * 0.4)
  return { prompt: length - continuation, continuation }
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
    // What a window begins with stands before the first one only.
    const { length } = cache.options.prefixIds
    const solved = chosen.flatMap(({ tokens }) => [...tokens.subarray(length)])
    return {
      ...window,
      tokens: Int32Array.of(
        ...window.tokens.subarray(0, length),
        ...solved,
        ...window.tokens.subarray(length),
      ),
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
    const examplesOf = (count: number): ExampleSettings => ({
      count: Math.min(240, context.settings.calibration),
      shots: count,
    })
    const cache = await context.openCache({
      ...smallWindows(context.cache.model.config.positions),
      shotWindows: windowsWithShots,
    })
    const most = shots[shots.length - 1]
    const pairs = ['static', 'fisher, static', 'ShadowLLM'].map(
      (form) => [`${form}, ${most} shots`, `${form}, 0 shots`] as const,
    )
    try {
      return await compareVariants(
        { ...context, cache },
        {
          shares,
          examples: shots.map(examplesOf),
          criteria: ['plainact', 'fisher'],
          variants: shots.flatMap((count) => {
            const examples = examplesOf(count)
            return [
              variant(context, `static, ${count} shots`, { planner: 'static', examples }),
              variant(context, `fisher, static, ${count} shots`, {
                planner: 'static',
                criterion: 'fisher',
                examples,
              }),
              variant(context, `ShadowLLM, ${count} shots`, { examples }),
            ]
          }),
          plot: 'Perplexity by shots before the calibration prompts',
          paper: publishedShots,
          say: (measured, share) => `: ${measured.versus(pairs, share)}`,
        },
      )
    } finally {
      await cache.dispose()
    }
  },
}
