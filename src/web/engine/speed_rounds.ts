/**
 * How fast a model decodes under a mask and without one, on the same tokens, in interleaved rounds.
 *
 * A turn reads a few tokens. The first is not timed: it brings back the weights that the other model pushed out of the caches.
 */
import type { LanguageModel } from '../../engine/language_model.ts'
import type { Sequence } from '../../engine/sequence.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import { pause } from '../../platform/pause.ts'
import { now } from '../../platform/platform.ts'
import { ratioInterval, turnOrder } from '../../results/interleaved_rounds.ts'
import type { SpeedRounds } from './study_types.ts'

/** As many as the text has tokens, between these. */
const ROUNDS = { least: 12, most: 40 }
/** Milliseconds after which a large model is timed in no more than the least rounds. */
const LONG = 3000
/** Tokens of a turn. */
export const TURN = 4
/** The least time of a token, in milliseconds. */
export const LEAST_TIME = 1e-3

/**
 * Milliseconds per token in each round; null for an empty text, and where the context has no space for enough rounds.
 * @param prompt [P] @param tokens what is read after it, again from the first if need be: [N]
 * @param planner null is dense
 * @throws the signal's reason
 */
export async function measureRounds(
  model: LanguageModel,
  prompt: Int32Array,
  tokens: readonly number[],
  planner: MaskPlanner | null,
  signal?: AbortSignal,
): Promise<SpeedRounds | null> {
  const wanted = Math.min(ROUNDS.most, Math.max(ROUNDS.least, tokens.length))
  const rounds = Math.min(wanted, Math.floor((model.config.positions - prompt.length) / TURN))
  const enough = Array.from({ length: Math.max(0, rounds) }, () => 1)
  if (tokens.length === 0 || ratioInterval(enough, enough) === null) return null
  const sequences: Sequence[] = []
  try {
    for (const decides of [planner, null]) {
      const capacity = prompt.length + rounds * TURN
      const sequence = model.begin({ planner: decides, capacity, expectedTokens: rounds * TURN })
      sequences.push(sequence)
      sequence.feed(prompt, 'last')
    }
    const [sparse, dense] = await timeTurns(sequences, tokens, { least: ROUNDS.least, most: rounds }, signal)
    return { sparse, dense }
  } finally {
    for (const sequence of sequences) sequence.dispose()
  }
}

/**
 * Milliseconds per token of sequences that read the same tokens in turns, again from the first if need be: a list of each. What takes
 * long has the least rounds.
 * @throws the signal's reason
 */
export async function timeTurns(
  sequences: readonly Sequence[],
  tokens: readonly number[],
  rounds: { readonly least: number; readonly most: number },
  signal?: AbortSignal,
): Promise<number[][]> {
  const times = sequences.map((): number[] => [])
  const read = sequences.map(() => 0)
  const begun = now()
  for (let round = 0; round < rounds.most; round++) {
    if (round >= rounds.least && now() - begun > LONG) break
    for (const turn of turnOrder(round, sequences.length)) {
      await pause(signal)
      const next = (): Int32Array => Int32Array.of(tokens[read[turn]++ % tokens.length])
      sequences[turn].feed(next(), 'last')
      const start = now()
      for (let i = 1; i < TURN; i++) sequences[turn].feed(next(), 'last')
      // A coarse clock may show no time at all.
      times[turn].push(Math.max(LEAST_TIME, (now() - start) / (TURN - 1)))
    }
  }
  return times
}
