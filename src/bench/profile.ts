/**
 * Where the time of a generated token goes: per op and per kind of matrix, in a run of its own.
 *
 * The model is run watched (op_times.ts) and, in turns with that, as it is, so that the cost of watching is known. What
 * planning and packing took in the prompt is shared by the tokens, as in every figure.
 */
import { backendTopK, type TopK } from '../masks/selection.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { now } from '../platform/platform.ts'
import type { KernelName } from '../ops/catalog.ts'
import { Decoding, type Plan, type Turn } from '../evaluation/decode.ts'
import { median, interleave } from '../results/interleaved_rounds.ts'
import { WatchedModel, type OpTime } from './op_times.ts'

/** One line of a profile; all figures are means per token. */
export interface ProfileLine {
  /** Which matrices, or what else takes time. */
  readonly what: string
  /** The op; null where time is not spent in one of the model's. */
  readonly op: KernelName | null
  readonly calls: number | null
  readonly milliseconds: number
  /** Of the whole token. */
  readonly share: number
  /** That the op must touch at least; null where time is not spent in one. */
  readonly bytesPerSecond: number | null
}

/** Where the time of a token goes. */
export interface Profile {
  /** The longest first. */
  readonly lines: readonly ProfileLine[]
  /** Of a watched token, the sum of the lines. */
  readonly milliseconds: number
  /** By how much longer a token takes for being watched, as a share: the median over rounds. */
  readonly overhead: number
}

/** How much is profiled. */
interface ProfileSizes {
  readonly tokens: number
  /** Turns, watched and not. */
  readonly rounds: number
}

/**
 * Profiles how a method decodes.
 * @param makePlan the method's plan, choosing units by what it is given
 * @throws the signal's reason if it is aborted, and what decoding throws
 */
export async function profileDecode(
  model: LanguageModel,
  prompt: Int32Array,
  makePlan: (topK: TopK) => Plan,
  { tokens, rounds }: ProfileSizes,
  signal?: AbortSignal,
): Promise<Profile> {
  const topK = backendTopK(model.backend)
  const selection = { milliseconds: 0 }
  const watched = new WatchedModel(model)
  const runs = [
    { model, plan: makePlan(topK), turns: [] as Turn[] },
    { model: watched.model, plan: makePlan(timedTopK(topK, selection)), turns: [] as Turn[] },
  ]
  try {
    await interleave(rounds, runs.length, async (turn) => {
      const run = runs[turn]
      const decoding = new Decoding(run.model, prompt, tokens, run.plan)
      try {
        watched.recording = true
        run.turns.push(await decoding.decode(signal))
      } finally {
        watched.recording = false
        decoding.dispose()
      }
    })
    const [plain, seen] = runs.map(({ turns }) => turns)
    const ratios = seen.map(({ milliseconds }, round) => milliseconds / plain[round].milliseconds)
    return { ...profileOf(watched.times, seen, selection.milliseconds), overhead: median(ratios) - 1 }
  } finally {
    watched.dispose()
  }
}

function timedTopK(topK: TopK, clock: { milliseconds: number }): TopK {
  return (scores, count) => {
    const start = now()
    const chosen = topK(scores, count)
    clock.milliseconds += now() - start
    return chosen
  }
}

/**
 * The lines of watched turns: the ops, then the planner without its choice of units, that choice, making masks ready, and
 * what is left - copies between host and backend, and what is computed on the host.
 * @param selecting milliseconds of choosing units, in all turns
 */
export function profileOf(
  times: readonly OpTime[],
  turns: readonly Turn[],
  selecting: number,
): Omit<Profile, 'overhead'> {
  const tokens = turns.reduce((sum, turn) => sum + turn.tokens, 0)
  const total = (part: (turn: Turn) => number): number => turns.reduce((sum, turn) => sum + part(turn), 0)
  const whole = total(({ milliseconds }) => milliseconds)
  const planning = total((turn) => turn.planning)
  const preparing = total((turn) => turn.preparing)
  const inOps = times.reduce((sum, { milliseconds }) => sum + milliseconds, 0)
  const others = {
    predictor: planning - selecting,
    selection: selecting,
    packing: preparing,
    host: whole - planning - preparing - inOps,
  }
  const lines = [
    ...times,
    ...Object.entries(others).map(([what, milliseconds]) => {
      return { what, op: null, calls: null, milliseconds, bytes: null }
    }),
  ]
  return {
    lines: lines
      .filter(({ milliseconds }) => milliseconds !== 0)
      .toSorted((a, b) => b.milliseconds - a.milliseconds)
      .map(({ what, op, calls, milliseconds, bytes }) => ({
        what,
        op,
        calls: calls === null ? null : calls / tokens,
        milliseconds: milliseconds / tokens,
        share: milliseconds / whole,
        bytesPerSecond: bytes === null ? null : (1000 * bytes) / milliseconds,
      })),
    milliseconds: whole / tokens,
  }
}
