/**
 * Requests for texts: what is asked is checked against the model, queued, written in turns and answered, whole or as a stream.
 *
 * The texts of a request are written one after the other under one seat, so that it holds one sequence at a time and has one
 * step in each round, however many texts it asks for. Greedy texts of one prompt are equal: one is written and told as each. The first step runs before an answer is begun: what fails there has a
 * status. What fails later is an event of the stream, which then ends without `[DONE]`.
 */
import type { MaskMode } from '../engine/active_layer.ts'
import type { TextPlace } from '../engine/conversation.ts'
import type { CacheStorage } from '../engine/layer_cache.ts'
import { fillSampling, samplingNames, type SamplerOptions } from '../engine/sampling.ts'
import { storageNamed } from '../engine/storages/index.ts'
import { stopTexts } from '../io/stop_text.ts'
import type { Tokenizer } from '../io/tokenizer.ts'
import { achievedBy } from '../masks/achieved.ts'
import { now } from '../platform/platform.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import {
  expectSkipping,
  generationPlanners,
  type GenerationPlanner,
  type PlannerChoice,
} from '../library/planner_options.ts'
import type { ShadowModel } from '../library/shadow_model.ts'
import { needs } from '../planners/index.ts'
import { InputError, MissingError, UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'
import {
  chatForm,
  completionForm,
  type AnswerForm,
  type AnswerHead,
  type ChoiceEnd,
  type Usage,
} from './answers.ts'
import type { SequenceStore } from './sequence_store.ts'
import type { Metrics } from './metrics.ts'
import { refusalOf } from './refusals.ts'
import { RequestError, RETRY_AFTER } from './request_error.ts'
import { expectFewScores } from './amounts.ts'
import type { Asked, Reading, ReadPrompt } from './reading.ts'
import { ANY_SEED, fieldOf, type CommonBody } from './requests.ts'
import type { Scheduler, Seat } from './scheduler.ts'
import { writeText, type Piece, type WritingTask } from './writer.ts'

/** The code of a backend without room. */
const BACKEND_MEMORY = 'BACKEND_MEMORY'

/** Where neither a request nor the model says another one, as in the OpenAI API. */
export const REQUEST_TEMPERATURE = 1

/** A planner by name, and how much it skips. */
interface Planning extends PlannerChoice {
  /** Undefined is the one that a sparsity alone means. */
  readonly planner?: GenerationPlanner
  /** Tokens from one dense check to the next. */
  readonly check?: number
}

/** How requests are answered that do not say. */
export interface ServiceOptions {
  /** The name of the model for clients. */
  readonly name: string
  readonly planning: Planning
  readonly mode?: MaskMode
  readonly cache?: CacheStorage
  /** How many tokens of an echoed and scored prompt planners see. */
  readonly maskTokens: number
  /** Milliseconds after which a stream ends that nobody reads. */
  readonly stall: number
  /** Is told of what is no fault of a request: bugs, whose text no client sees, and logits that are not finite. */
  readonly report: (error: unknown) => void
}

/** One text of a request; its planner is made when it is begun. */
interface Choice extends Omit<WritingTask, 'planner' | 'check' | 'sampling'> {
  readonly seed: number
}

/** All texts of a request. */
interface TextRequest {
  readonly form: AnswerForm
  readonly choices: readonly Choice[]
  readonly sampling: SamplerOptions
  readonly planning: Planning
  /** Tokens of all prompts, each counted once. */
  readonly promptTokens: number
  readonly stream: boolean
  readonly includesUsage: boolean
}

/** A step of a request: a piece of a text, or its end. */
type Event =
  | {
      readonly choice: number
      readonly piece: Piece
      readonly isFirst: boolean
      /** Whether it is a token that was generated, and no echo. */
      readonly isToken: boolean
    }
  | { readonly choice: number; readonly end: ChoiceEnd; readonly reused: number }

/** How an answer has ended. */
export interface EndedAnswer {
  /** Of what was written. */
  readonly usage: Usage
  /** Why its stream has ended early: the code of an error, or words; null for one that is complete. */
  readonly failure: string | null
}

/** An answer that may still be written. */
export interface BegunAnswer {
  readonly response: Response
  readonly ended: Promise<EndedAnswer>
}

/** Answers requests for texts of one model. */
export class TextService {
  readonly model: ShadowModel
  readonly tokenizer: Tokenizer
  readonly #options: ServiceOptions
  readonly #scheduler: Scheduler
  readonly #metrics: Metrics
  readonly #kept: SequenceStore
  /** Of requests that name none. */
  readonly #seeds: Random

  /** @throws InputError TOKENIZER_MISSING */
  constructor(
    model: ShadowModel,
    options: ServiceOptions,
    scheduler: Scheduler,
    metrics: Metrics,
    kept: SequenceStore,
  ) {
    if (!model.tokenizer)
      throw new InputError(
        'TOKENIZER_MISSING',
        `${model.name}: expected a tokenizer with the model, got none`,
      )
    this.model = model
    this.tokenizer = model.tokenizer
    this.#options = options
    this.#scheduler = scheduler
    this.#metrics = metrics
    this.#kept = kept
    this.#seeds = new Random(options.planning.seed ?? 0)
  }

  /** Answers `/v1/completions`. @throws UsageError, InputError, MissingError, RequestError for what is answered with a status */
  complete({ asked, prompts }: Reading['completion'], signal: AbortSignal): Promise<BegunAnswer> {
    const { tokenizer } = this
    const likeliest = asked.logprobs ?? null
    const form = completionForm({ tokenizer, likeliest, continues: !asked.echo })
    const request = this.#request(asked, prompts, form, {
      likeliest,
      continues: true,
      maskTokens: asked.mask_prompt_tokens ?? this.#options.maskTokens,
      stopIds: new Set(this.model.stopIds),
    })
    return this.#answer(request, signal)
  }

  /** Answers `/v1/chat/completions`. @throws as `complete` */
  chat({ asked, prompts }: Reading['chat'], signal: AbortSignal): Promise<BegunAnswer> {
    const { tokenizer, model } = this
    const likeliest = asked.logprobs ? (asked.top_logprobs ?? 0) : null
    const form = chatForm({ tokenizer, likeliest, continues: false })
    const eosToken = model.chatTemplate?.eosToken ?? null
    const eosId = eosToken === null ? null : tokenizer.idOf(eosToken)
    const request = this.#request(asked, prompts, form, {
      likeliest,
      continues: false,
      splits: true,
      maskTokens: 1,
      stopIds: new Set(eosId === null ? model.stopIds : [...model.stopIds, eosId]),
    })
    return this.#answer(request, signal)
  }

  #request(
    asked: Asked<CommonBody>,
    prompts: readonly ReadPrompt[],
    form: AnswerForm,
    how: Pick<Choice, 'likeliest' | 'continues' | 'splits' | 'maskTokens' | 'stopIds'>,
  ): TextRequest {
    const { mode, cache, planning } = this.#options
    const n = asked.n ?? 1
    const sampling = fillSampling(samplingOf(asked), this.model.sampling, REQUEST_TEMPERATURE)
    const named = asked.seed ?? ANY_SEED
    const seed = named === ANY_SEED ? this.#seeds.uint32() : named
    const stops = stopTexts(asked.stop)
    const told = prompts.map(({ ids, echo, maxTokens }) => maxTokens + (echo === null ? 0 : ids.length))
    expectFewScores(n * told.reduce((total, count) => total + count, 0), how.likeliest)
    const choices = prompts.flatMap((prompt) =>
      Array.from({ length: n }, (_, i) => ({
        ...how,
        ...prompt,
        stops,
        mode,
        cache,
        seed: (seed + i) >>> 0,
      })),
    )
    return {
      form,
      choices,
      sampling,
      planning: planningOf(asked, planning),
      promptTokens: prompts.reduce((total, { ids }) => total + ids.length, 0),
      stream: asked.stream ?? false,
      includesUsage: asked.stream_options?.include_usage ?? false,
    }
  }

  async #answer(request: TextRequest, signal: AbortSignal): Promise<BegunAnswer> {
    const { form } = request
    const head: AnswerHead = {
      id: `${form.prefix}-${crypto.randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: this.#options.name,
    }
    const events = this.#events(request, signal)
    return request.stream ? this.#stream(request, head, events, signal) : whole(request, head, events)
  }

  /** @throws as `ShadowModel.planner`, without the names of files; UsageError STORAGE for one that needs gradients where there are none */
  async #planner(planning: Planning): Promise<MaskPlanner | null> {
    const { planner = 'shadow' } = planning
    if (this.#lacksGradients(planner))
      throw await this.#unready(
        planner,
        'STORAGE',
        `it needs gradients, and weights in ${this.model.model.weights.storage} have none; --storage f32 of the server widens them`,
      )
    try {
      return await this.model.planner(planning)
    } catch (error) {
      if (!(error instanceof MissingError) || isOutOfMemory(error)) throw error
      const [flag, command] =
        error.code === 'PREDICTOR_MISSING' ? ['predictor', 'train'] : ['calibration', 'calibrate']
      throw await this.#unready(
        planner,
        error.code,
        `the server was started without --${flag}, which "shadowllm ${command}" makes`,
        error,
      )
    }
  }

  /** Whether a planner could never decide: it takes gradients of the prompt's loss, and the weights have none. */
  #lacksGradients(planner: GenerationPlanner): boolean {
    return needs(planner, 'prompt-loss') && storageNamed(this.model.model.weights.storage).roundsActivations
  }

  /** The refusal of a planner that cannot run, by those that can. */
  async #unready(
    planner: GenerationPlanner,
    code: string,
    reason: string,
    cause?: unknown,
  ): Promise<UsageError> {
    const ready: string[] = []
    for (const name of generationPlanners)
      if (!this.#lacksGradients(name))
        await this.model.planner({ planner: name }).then(
          () => ready.push(name),
          () => {},
        )
    const message = `planner: expected one of ${ready.join(', ')}, got ${planner}: ${reason}`
    return new UsageError(code, message, { cause, option: 'planner' })
  }

  /** Writes the texts of a request, in turns with others. @throws as `Scheduler.enter` and `writeText` */
  async *#events(request: TextRequest, signal: AbortSignal): AsyncGenerator<Event, void, void> {
    const { choices, sampling, planning } = request
    const started = now()
    const seat = await this.#scheduler.enter(signal)
    try {
      /** The steps of the last text, if the next ones of its prompt are equal. */
      let written: Event[] | null = null
      for (const [choice, { seed, ...text }] of choices.entries()) {
        if (written !== null && choices[choice - 1]?.ids === text.ids) {
          for (const event of written) yield this.#copied(event, choice, seed)
          continue
        }
        const isLast = choices[choice + 1]?.ids !== text.ids
        let isCopied = false
        const write = async (): Promise<AsyncGenerator<Event, void, void>> => {
          const planner = await this.#planner({ ...planning, seed })
          const task = { ...text, planner, check: planning.check, sampling: { ...sampling, seed } }
          const draws = drawsMasks(planner, planning)
          isCopied = sampling.temperature === 0 && !draws && !isLast
          const place = this.#kept.place(keyOf(planner, planning, draws ? seed : null))
          return this.#oneText(seat, choice, task, place)
        }
        const events: Event[] = []
        let isRead = false
        for await (const event of this.#withMemory(write)) {
          if (!isRead) this.#metrics.prompt(text.ids.length)
          isRead = true
          if ('piece' in event && event.isToken) this.#metrics.generated()
          if (isCopied) events.push(event)
          yield event
        }
        written = isCopied ? events : null
      }
    } finally {
      seat.leave()
      this.#metrics.ended((now() - started) / 1000)
    }
  }

  /**
   * The steps of a text. If memory runs out, what is kept is freed, and the text is written once more, of which the steps that have
   * been told are equal.
   * @throws what the steps throw; RequestError BACKEND_MEMORY if memory runs out again
   */
  async *#withMemory(
    write: () => Promise<AsyncGenerator<Event, void, void>>,
  ): AsyncGenerator<Event, void, void> {
    let told = 0
    for (const isLastTry of [false, true]) {
      let step = 0
      try {
        for await (const event of await write()) {
          if (step++ < told) continue
          told++
          yield event
        }
        return
      } catch (error) {
        if (!isOutOfMemory(error)) throw error
        this.#kept.clear()
        if (isLastTry) throw outOfMemory(error as Error)
      }
    }
  }

  /** A step of an equal text. */
  #copied(event: Event, choice: number, seed: number): Event {
    if (!('end' in event)) return { ...event, choice }
    this.#metrics.text(event.end.skipped)
    return { ...event, choice, end: { ...event.end, seed } }
  }

  async *#oneText(
    seat: Seat,
    choice: number,
    task: WritingTask,
    place: TextPlace,
  ): AsyncGenerator<Event, void, void> {
    const { model, tokenizer } = this
    const writer = writeText(model.model, tokenizer, task, place)
    let isFirst = true
    const step = (): ReturnType<typeof writer.next> => {
      const start = now()
      try {
        return writer.next()
      } finally {
        this.#metrics.step((now() - start) / 1000)
      }
    }
    try {
      for (;;) {
        const { done, value } = await seat.step(step)
        if (done) {
          const { end, mask, decisions, checked, reused } = value
          const skipped = achievedBy(mask, model.config)
          this.#metrics.text(skipped)
          this.#metrics.cached(reused)
          const seed = task.sampling.seed as number
          return yield { choice, end: { end, skipped, decisions, checked, seed }, reused }
        }
        if (value === null) continue
        const isToken = !isFirst || task.echo === null
        yield { choice, piece: value, isFirst, isToken }
        isFirst = false
      }
    } finally {
      writer.return(undefined as never)
    }
  }

  /** Answers event by event: each is computed when the client has room for it. */
  async #stream(
    request: TextRequest,
    head: AnswerHead,
    events: AsyncGenerator<Event, void, void>,
    signal: AbortSignal,
  ): Promise<BegunAnswer> {
    const { form, includesUsage } = request
    const { promise: ended, resolve } = Promise.withResolvers<EndedAnswer>()
    const end = (failure: string | null): void => resolve({ usage: count.usage, failure })
    const encoder = new TextEncoder()
    const encode = (event: object): Uint8Array => encoder.encode(`data: ${JSON.stringify(event)}\n\n`)
    // Clients that ask for the usage find the field in every event.
    const told = (event: object): object => (includesUsage ? { usage: null, ...event } : event)
    const count = new TokenCount(request)
    /** The next event that has something to tell; null after the last. */
    const next = async (): Promise<Uint8Array | null> => {
      for (;;) {
        const { done, value } = await events.next()
        if (done) return null
        count.add(value)
        if ('end' in value) return encode(told(form.end(head, value.choice, value.end)))
        const event = form.piece(head, value.choice, value.piece, value.isFirst)
        if (event) return encode(told(event))
      }
    }
    let first = await next()
    let isStalled = false
    const stall = new StallTimer(this.#options.stall, () => {
      isStalled = true
      void events.return()
      end(stalled().code)
    })
    const body = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          stall.stop()
          try {
            const event = first ?? (await next())
            first = null
            if (isStalled) throw stalled()
            if (event) {
              controller.enqueue(event)
              return stall.start()
            }
            if (includesUsage) controller.enqueue(encode(form.usage(head, count.usage)))
            controller.enqueue(encoder.encode('data: [DONE]\n\n'))
            end(null)
          } catch (error) {
            const { status, body: refusal } = refusalOf(error)
            if (status === 500 && !signal.aborted) this.#options.report(error)
            controller.enqueue(encode(refusal))
            end(refusal.error.code)
          }
          controller.close()
        },
        cancel: async () => {
          stall.stop()
          await events.return()
          end('client left')
        },
      },
      { highWaterMark: 0 },
    )
    const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' }
    return { response: new Response(body, { headers }), ended }
  }
}

/** By which texts are told apart of which one may not go on from the other. @param seed of masks that are drawn */
function keyOf(planner: MaskPlanner | null, planning: Planning, seed: number | null): string {
  return JSON.stringify(planner ? { ...planning, seed } : null)
}

/** Whether another seed may give other masks: those of noise, and of criteria that draw. */
function drawsMasks(made: MaskPlanner | null, { planner }: Planning): boolean {
  return made?.random !== undefined || (planner !== undefined && needs(planner, 'prompt-loss'))
}

/** Whether a backend has no more memory, or the program. */
function isOutOfMemory(error: unknown): boolean {
  if (error instanceof MissingError) return error.code === BACKEND_MEMORY
  return error instanceof RangeError && error.message.includes('allocation failed')
}

function outOfMemory({ message }: Error): RequestError {
  return new RequestError(
    503,
    BACKEND_MEMORY,
    `${message}; try again, or start the server with a smaller --kept or --parallel`,
    { headers: { 'retry-after': RETRY_AFTER } },
  )
}

function stalled(): RequestError {
  return new RequestError(400, 'STALLED', 'stream: expected a client that reads it, got none for too long')
}

/** Calls once nobody has asked for a while. */
class StallTimer {
  readonly #patience: number
  readonly #call: () => void
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(patience: number, call: () => void) {
    this.#patience = patience
    this.#call = call
  }

  start(): void {
    this.#timer = setTimeout(this.#call, this.#patience)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

/** The answer as one object, of which each text is written when it has ended: they may be many megabytes together. */
async function whole(
  request: TextRequest,
  head: AnswerHead,
  events: AsyncGenerator<Event, void, void>,
): Promise<BegunAnswer> {
  const { form } = request
  const count = new TokenCount(request)
  const choices: string[] = []
  let [text, thinking] = ['', '']
  let scores: Piece['scores'][number][] = []
  for await (const event of events) {
    count.add(event)
    if ('end' in event) {
      choices.push(JSON.stringify(form.whole(event.choice, { ...event.end, text, thinking, scores })))
      text = ''
      thinking = ''
      scores = []
    } else {
      text += event.piece.text
      thinking += event.piece.thinking
      for (const score of event.piece.scores) scores.push(score)
    }
  }
  const beginning = JSON.stringify({ ...head, object: form.object }).slice(0, -1)
  const { usage } = count
  const answer = `${beginning},"choices":[${choices.join()}],"usage":${JSON.stringify(usage)}}`
  const response = new Response(answer, { headers: { 'content-type': 'application/json' } })
  return { response, ended: Promise.resolve({ usage, failure: null }) }
}

/** Counts the tokens of a request. */
class TokenCount {
  readonly #request: TextRequest
  #completion = 0
  #cached = 0

  constructor(request: TextRequest) {
    this.#request = request
  }

  /** A prompt is counted once, however many texts follow it. */
  add(event: Event): void {
    const { choices } = this.#request
    if ('piece' in event) this.#completion += Number(event.isToken)
    else if (choices[event.choice - 1]?.ids !== choices[event.choice].ids) this.#cached += event.reused
  }

  get usage(): Usage {
    const { promptTokens } = this.#request
    return {
      prompt_tokens: promptTokens,
      completion_tokens: this.#completion,
      total_tokens: promptTokens + this.#completion,
      prompt_tokens_details: { cached_tokens: this.#cached },
    }
  }
}

/** How a request asks for tokens to be drawn; null is not said. */
function samplingOf(asked: Asked<CommonBody>): SamplerOptions {
  const fields = asked as Readonly<Record<string, unknown>>
  const names = samplingNames.filter((name) => name !== 'seed')
  return Object.fromEntries(names.map((name) => [name, fields[fieldOf(name)]]))
}

/** The planner options of a request; the server decides the others. A sparsity alone means `ShadowModel.usualPlanner`. */
function planningOf({ planner, sparsity, every, check }: Asked<CommonBody>, usual: Planning): Planning {
  const asked = sparsity ?? null
  const { headSparsity, neuronSparsity, ...rest } = usual
  const shares = asked === null ? { headSparsity, neuronSparsity } : { sparsity: asked }
  const named = planner as GenerationPlanner | null | undefined
  if (named && asked !== null) expectSkipping([named], [asked])
  return {
    ...rest,
    ...shares,
    planner: named ?? (asked !== null && usual.planner === 'dense' ? undefined : usual.planner),
    every: every ?? usual.every,
    check: check ?? usual.check,
  }
}
