/**
 * The speed of decoding and of reading a prompt: one sequence at a time, units really skipped.
 *
 * Decoding is greedy, one token at a time, or drafted and checked dense (engine/next_tokens.ts). Tokens per second are N
 * generated tokens over the time of their passes plus the time of the planner and of packing the units it keeps. The pass
 * over the prompt, which is the same for every method, is left out. Methods run in interleaved rounds
 * (interleaved_rounds.ts); the figure of a method is the median of its rounds. Only figures of one run can be compared.
 */
import type { UnitMask } from '../masks/mask.ts'
import { wrapPlanner, type MaskPlanner } from '../masks/planner.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { expectCheckable, TokenChooser } from '../engine/next_tokens.ts'
import type { TextRun } from '../engine/generate.ts'
import { argmax } from '../engine/sampling.ts'
import type { Sequence, SequenceOptions, StrategyCounts } from '../engine/sequence.ts'
import { now } from '../platform/platform.ts'
import { pause } from '../platform/pause.ts'
import { interleave } from '../results/interleaved_rounds.ts'

/** How much is decoded. */
export interface DecodeSizes {
  /** Tokens of the prompt. */
  readonly prompt: number
  /** Tokens generated after it. */
  readonly tokens: number
  /** Turns of each method. */
  readonly rounds: number
}

/** The planner or the mask, how a mask is carried out, and the storage of keys and values. */
export interface Plan extends Pick<SequenceOptions, 'planner' | 'mask' | 'mode' | 'cache'> {
  /** Tokens from one dense check of what is generated to the next. */
  readonly check?: number
}

/** The time of some tokens, and their mask. */
export interface Turn extends TextRun {
  readonly tokens: number
  /** All of it. */
  readonly milliseconds: number
  /** Of that, in the planner: its predictors, what they are shown and the choice of units. */
  readonly planning: number
  /** Of that, making masks ready: lists of units, and packing. */
  readonly preparing: number
  /** The time of the device by its own clock, without a planner's prompt; null without a device. */
  readonly device: number | null
  /** In force at the end; null is dense. */
  readonly mask: UnitMask | null
  readonly ways: StrategyCounts
}

/** The rate of a turn. */
export function tokensPerSecond({ tokens, milliseconds }: Turn): number {
  return (1000 * tokens) / milliseconds
}

/** Milliseconds of steps between two pauses for the event loop, which are not measured. */
const STEPS_BETWEEN_PAUSES = 250

/** A sequence whose planner's time is known. */
class TimedSequence {
  readonly sequence: Sequence
  /** Milliseconds so far. */
  planning = 0

  constructor(
    model: LanguageModel,
    { planner, check: _check, ...plan }: Plan,
    capacity: number,
    expectedTokens: number,
  ) {
    const timedPlanner = planner && timed(planner, (milliseconds) => (this.planning += milliseconds))
    this.sequence = model.begin({ ...plan, planner: timedPlanner, capacity, expectedTokens, rewinds: true })
  }

  turn(times: Omit<Turn, 'mask' | 'ways'>): Turn {
    const { mask, strategies } = this.sequence
    return { ...times, mask, ways: strategies }
  }

  /** Milliseconds that a device computed since this was asked last; null where there is none. */
  deviceTime(): number | null {
    return this.sequence.model.backend.deviceTime?.() ?? null
  }
}

/** A prompt that was read, from which tokens are generated under the clock, as often as one likes. Dispose it. */
export class Decoding {
  readonly #timed: TimedSequence
  readonly #prompt: number
  readonly #tokens: number
  readonly #plan: Plan
  /** Of the prompt: [V]. */
  readonly #logits: Float32Array
  readonly #planning: number
  readonly #preparing: number
  readonly #decisions: number

  /** Reads the prompt. @param prompt at least one token @throws what `LanguageModel.begin` and `Sequence.feed` throw */
  constructor(model: LanguageModel, prompt: Int32Array, tokens: number, plan: Plan) {
    expectCheckable(plan.check, plan.planner ?? null, plan.mask)
    this.#plan = plan
    this.#timed = new TimedSequence(model, plan, prompt.length + tokens, tokens)
    this.#prompt = prompt.length
    this.#tokens = tokens
    const { sequence } = this.#timed
    try {
      this.#logits = sequence.feed(prompt, 'last')
    } catch (error) {
      sequence.dispose()
      throw error
    }
    this.#planning = this.#timed.planning
    this.#preparing = sequence.preparing
    this.#decisions = sequence.decisions
  }

  /**
   * Generates the tokens; what planning and packing took in the prompt is theirs.
   * @throws the signal's reason if it is aborted; UsageError REWIND the second time, as `Sequence.rewind`
   */
  async decode(signal?: AbortSignal): Promise<Turn> {
    const { sequence } = this.#timed
    if (sequence.length > this.#prompt) sequence.rewind(this.#prompt)
    const { planning } = this.#timed
    const { preparing, decisions } = sequence
    const { check, planner } = this.#plan
    // The prompt gives one token more, which is not timed.
    const maxTokens = this.#tokens + 1
    const stops = new Set<number>()
    const chooser = new TokenChooser(sequence, { sampler: argmax, maxTokens, stops, check, planner })
    const passes = chooser.tokens(this.#logits)
    passes.next()
    let stepping = 0
    let pausedAt = now()
    this.#timed.deviceTime()
    for (let n = 0; n < this.#tokens;) {
      const start = now()
      const chosen = passes.next().value
      stepping += now() - start
      if (chosen) n++
      if (now() - pausedAt < STEPS_BETWEEN_PAUSES) continue
      await pause(signal)
      pausedAt = now()
    }
    // A planner that is asked again is on the clock of the steps anyway.
    return this.#timed.turn({
      tokens: this.#tokens,
      milliseconds: stepping + this.#planning + this.#preparing,
      planning: this.#planning + this.#timed.planning - planning,
      preparing: this.#preparing + sequence.preparing - preparing,
      device: this.#timed.deviceTime(),
      decisions: this.#decisions + sequence.decisions - decisions,
      checked: chooser.counts,
    })
  }

  dispose(): void {
    this.#timed.sequence.dispose()
  }
}

/** One turn of decoding. @param prompt at least one token @throws the signal's reason if it is aborted */
export async function decodeTurn(
  model: LanguageModel,
  prompt: Int32Array,
  tokens: number,
  plan: Plan,
  signal?: AbortSignal,
): Promise<Turn> {
  const decoding = new Decoding(model, prompt, tokens, plan)
  try {
    return await decoding.decode(signal)
  } finally {
    decoding.dispose()
  }
}

/** One turn of reading a prompt, up to the logits of what follows it. @param prompt at least one token */
export function promptTurn(model: LanguageModel, prompt: Int32Array, plan: Plan): Turn {
  model.backend.deviceTime?.()
  const start = now()
  const timedSequence = new TimedSequence(model, plan, prompt.length, 0)
  const { sequence } = timedSequence
  try {
    sequence.feed(prompt, 'last')
    return timedSequence.turn({
      tokens: prompt.length,
      milliseconds: now() - start,
      planning: timedSequence.planning,
      preparing: sequence.preparing,
      device: timedSequence.deviceTime(),
      decisions: sequence.decisions,
      checked: null,
    })
  } finally {
    sequence.dispose()
  }
}

/** The same planner, its time reported. */
function timed(planner: MaskPlanner, report: (milliseconds: number) => void): MaskPlanner {
  return wrapPlanner(planner, (ask) => {
    const start = now()
    const answer = ask()
    report(now() - start)
    return answer
  })
}

/**
 * Tokens per second of each round under each planner, null being dense, after one untimed turn.
 * @throws the signal's reason if it is aborted
 */
export async function measureDecode(
  model: LanguageModel,
  prompt: Int32Array,
  planners: readonly (MaskPlanner | null)[],
  sizes: DecodeSizes,
  onTurn: (done: number, total: number) => void = () => {},
  signal?: AbortSignal,
): Promise<number[][]> {
  const samples = planners.map((): number[] => [])
  await decodeTurn(model, prompt, sizes.tokens, {}, signal)
  await interleave(sizes.rounds, planners.length, async (turn, done) => {
    await pause(signal)
    const measured = await decodeTurn(model, prompt, sizes.tokens, { planner: planners[turn] }, signal)
    samples[turn].push(tokensPerSecond(measured))
    onTurn(done + 1, sizes.rounds * planners.length)
  })
  return samples
}
