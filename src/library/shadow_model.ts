/**
 * ShadowModel: a loaded model with its tokenizer, its backend and its predictor, if it has one. The API of the library.
 *
 * Every argument is checked here, and an invalid one is refused by a typed error; the code below trusts its arguments. Any
 * number of generations may run at once: each has its own sequence and gives the same text as alone. `dispose` ends
 * running generations: they throw DISPOSED at their next step.
 */
import { bitsOf, type Backend } from '../backends/backend.ts'
import { createBackend } from '../backends/select.ts'
import { embeddedName, findModel, type FoundModel } from '../io/find_model.ts'
import type { HubOrigin } from '../io/hub.ts'
import type { ChatMessage, ChatPrompt } from '../io/chat_prompt.ts'
import type { ChatTemplate } from '../io/chat_template.ts'
import { isGguf, openModelFolder, type ModelFolder } from '../io/load.ts'
import type { Tokenizer } from '../io/tokenizer.ts'
import { criterionByName } from '../criteria/index.ts'
import { denseMask, type UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { UnitScores } from '../masks/selection.ts'
import { forwardBatch } from '../engine/batch.ts'
import { parseConfig, type ModelConfig } from '../engine/config.ts'
import { Conversation, type TextPlace } from '../engine/conversation.ts'
import { defaultCache } from '../engine/layer_cache.ts'
import { expectCheckable } from '../engine/next_tokens.ts'
import { generateTokens, type GenerateEnd, type PromptRun } from '../engine/generate.ts'
import { shiftLabels } from '../engine/loss.ts'
import { LanguageModel } from '../engine/language_model.ts'
import { samplingNames, type SamplerOptions } from '../engine/sampling.ts'
import { chosenStorage, type Storage } from '../engine/storages/index.ts'
import type { LoadProgress } from '../engine/weight_reader.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { makersSampling } from '../io/known_models.ts'
import { predictorBeside } from '../io/named_predictor.ts'
import { variablesOption, type TemplateVariables } from '../io/template_variables.ts'
import { StopText, stopTexts } from '../io/stop_text.ts'
import { ThinkingSplitter } from '../io/thinking.ts'
import {
  chatKinds,
  expectMessages,
  expectTemplate,
  generateKinds,
  MAX_ANSWER,
  maskKinds,
  openKinds,
  perplexityKinds,
  planKinds,
  samplerOf,
  type BatchInput,
  type ChatOptions,
  type GenerateOptions,
  type GenerateStep,
  type MaskOptions,
  type OpenOptions,
  type OpenProgress,
  type Perplexity,
} from './options.ts'
import {
  expectNoChoice,
  generationOption,
  PlannerFiles,
  type PlanOptions,
  type UsualPlanner,
} from './planner_options.ts'
import { promptMask } from '../planners/leaky.ts'
import type { PredictorKind } from '../predictor/predictor_config.ts'
import { scoreContinuation } from '../planners/prompt_plainact.ts'
import { describeValue, isObject } from '../tensor/arguments.ts'
import { InputError, UsageError } from '../tensor/errors.ts'
import { checkOptions, expectOption, kinds } from '../tensor/option.ts'
import { asNdarray, readIds, readIdTable, type FloatArray, type Ids } from '../tensor/ndarrays.ts'
import { pause } from '../platform/pause.ts'
import { runtime } from '../platform/platform.ts'
import { comparedKinds, type ComparedMethods, type ComparedPlanners } from '../results/method.ts'
import { hashFiles, type MeasuredModel } from '../results/provenance.ts'
import type { SessionSettings } from './session_file.ts'
import type { TextSession } from './text_session.ts'

const DEFAULT_TOKENS = 64

/** The most tokens that `perplexity` scores before it looks at its signal again. */
const SCORED_AT_ONCE = 64

/** How text and chats differ. */
interface Writing {
  readonly kind: 'text' | 'chat'
  /** The default limit of tokens. */
  readonly most: number
  readonly stopIds: readonly number[]
  /** Whether a space that begins the text is part of it. */
  readonly continues: boolean
  readonly conversation?: TextPlace
  readonly onPrompt?: (prompt: PromptRun) => void
}

/**
 * A model that generates and scores text. Made by `fromPretrained`; free it with `dispose`.
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 *
 * const opt = await ShadowModel.fromPretrained()
 * let text = ''
 * for await (const step of opt.generate('The captain looked at', { maxTokens: 12 })) text += step.text
 * console.log(text)
 * await opt.dispose()
 * ```
 */
export class ShadowModel {
  /** The path of its folder or GGUF file, its name on the hub, or `embedded`. */
  readonly name: string
  /** Its repository on the hub and the commit; null for a local model. */
  readonly origin: HubOrigin | null
  /** The files it was read from: config, weights or their index, tokenizer; or one GGUF file. */
  readonly files: readonly string[]
  /** The file by which it can be opened again: the weights or their index. */
  readonly weightsFile: string
  /** What that file holds matrices as: how they are opened with `storage: 'file'`, which is the default. */
  readonly fileStorage: Storage
  readonly config: ModelConfig
  readonly model: LanguageModel
  /** Null if the model's folder has none: then prompts are ids, and steps have no text. */
  readonly tokenizer: Tokenizer | null
  /** How a chat is written; null if the model's folder does not say: then `chat` is refused. */
  readonly chatTemplate: ChatTemplate | null
  /** Ids that end a text: those of the configuration, and of `generation_config.json`. */
  readonly stopIds: readonly number[]
  /**
   * How the model's makers draw tokens: `generation_config.json`, or `general.sampling` of a GGUF file; where a file of
   * SmolLM2-135M-Instruct says nothing, its model card. `generate` and `chat` of the
   * library are greedy unless they are asked for it: `chat(messages, { ...model.sampling })`.
   */
  readonly sampling: SamplerOptions
  /** The ids that the model expects before a text: those of its tokenizer, `config.bosId` where it has none. */
  readonly prefixIds: readonly number[]
  readonly #backend: Backend
  readonly #running = new Set<AsyncGenerator<unknown>>()
  readonly #planners: PlannerFiles
  readonly #conversation = new Conversation()
  readonly #sessions = new Set<TextSession>()
  #hash: Promise<string> | null = null
  #disposed = false

  private constructor(name: string, found: FoundModel & ModelFolder, model: LanguageModel) {
    // Only TypeScript knows that this is private.
    if (!isObject(found))
      throw new UsageError(
        'MODEL_NAME',
        'new ShadowModel: expected ShadowModel.fromPretrained, got the constructor',
      )
    const { origin, files, source, tokenizer, chat, stopIds, sampling } = found
    this.name = name
    this.origin = origin
    this.files = files.all
    this.weightsFile = files.weights
    this.fileStorage = chosenStorage('file', source)
    this.config = model.config
    this.model = model
    this.tokenizer = tokenizer ?? null
    this.chatTemplate = chat ?? null
    this.stopIds = [...new Set([...model.config.eosIds, ...(stopIds ?? [])])]
    this.sampling = makersSampling(sampling ?? {}, model.config, chat !== null && chat !== undefined)
    this.prefixIds = tokenizer?.prefixIds ?? [model.config.bosId]
    this.#backend = model.backend
    this.#planners = new PlannerFiles(model, predictorBeside(files.weights))
  }

  /**
   * Loads a model in Hugging Face form (config.json, weights as safetensors or .bin, tokenizer files), or a GGUF file.
   * @param pathOrName a folder or a GGUF file, or a name on the Hugging Face hub if neither has this path, or `embedded` (the default)
   *   for the model in this package
   * @throws InputError for an invalid file, with the reason as code; HubError HUB_* for a failed download or a model missing in
   *   the cache; MissingError BACKEND_MISSING, THREADS_MISSING, NODE_VERSION; UsageError MODEL_NAME, BACKEND_NAME, STORAGE, THREADS, HUB_*, and
   *   OPTIONS, OPTION_NAME, OPTION_TYPE for invalid options; the signal's reason
   */
  static async fromPretrained(
    pathOrName: string = embeddedName,
    options: OpenOptions = {},
  ): Promise<ShadowModel> {
    expectOption('model', pathOrName, { ...kinds.text, code: 'MODEL_NAME' })
    checkOptions(options, openKinds)
    // Pages and Deno do not load package.json.
    if (runtime.name === 'node') (await import('../tensor/version.ts')).expectNode()
    const { signal, revision, offline, storage = 'file' } = options
    signal?.throwIfAborted()
    const tell = (stage: OpenProgress['stage']) => (progress: LoadProgress) =>
      options.onProgress?.({ stage, ...progress })
    // Kernels are compiled while files are opened. An error of the files is told first.
    const backing = createBackend(options.backend ?? 'wasm', { threads: options.threads })
    backing.catch(() => {})
    try {
      const found = await findModel(pathOrName, {
        revision,
        offline,
        signal,
        onProgress: tell('download'),
      })
      const folder = await openModelFolder(found.path)
      try {
        const config = parseConfig(folder.configJson, folder.files.all[0])
        const onProgress = tell('load')
        const how = { signal, onProgress, storage: chosenStorage(storage, folder.source) }
        const model = await LanguageModel.load(config, folder.source, await backing, how)
        if (signal?.aborted) {
          model.dispose()
          throw signal.reason
        }
        // Of a folder it may have been one file among others.
        const { weights } = folder.files
        const name = found.path === pathOrName && isGguf(weights) ? weights : pathOrName
        return new ShadowModel(name, { ...found, ...folder }, model)
      } finally {
        await folder.source.close()
      }
    } catch (error) {
      await backing.then(
        (backend) => backend.dispose(),
        () => {},
      )
      throw error
    }
  }

  /**
   * Reads a predictor for the planner of its kind: `shadow`, `dejavu-style` or `dejavu`. It replaces an earlier one of its
   * kind. Without this, `shadow` uses `predictor.safetensors` in the model's folder, or `NAME.predictor.safetensors` beside
   * a model of one file `NAME.gguf`, else the one of this package that was made for such a model. `shadowllm train` makes such files.
   * @param path a file, or the name of a predictor in this package: `smollm2-135m`
   * @returns its kind, which is the name of the planner that reads it
   * @throws InputError PREDICTOR_MODEL for a predictor of a model of another shape, and as for every file
   */
  async loadPredictor(path: string): Promise<PredictorKind> {
    this.#expectLive()
    expectOption('predictor', path, kinds.path)
    return this.#planners.loadPredictor(path)
  }

  /**
   * Opens a calibration, made by `shadowllm calibrate`, for `static` and the other planners that rank units by its mean
   * scores. It replaces an earlier one.
   * @param folder of the calibration
   * @throws InputError CALIBRATION_MODEL for a calibration of a model of another shape, and as for every file
   */
  async loadCalibration(folder: string): Promise<void> {
    this.#expectLive()
    expectOption('calibration', folder, kinds.path)
    await this.#planners.loadCalibration(folder)
  }

  /**
   * Adds the moments of another text (`moments.safetensors` of a calibration) to those of the calibration, for `compensate` and the
   * criterion `obs`. Several texts have equal weights or, where the prompt has a share, are mixed layer by layer by how well they
   * explain it. The file is read when it is first needed.
   * @param path of the file
   */
  addMoments(path: string): void {
    this.#expectLive()
    expectOption('moments', path, kinds.path)
    this.#planners.addMoments(path)
  }

  /** What measurements are told of the model: `textPerplexity({ ...model.measured, text, methods })`. */
  get measured(): MeasuredModel {
    const { model, name: modelName, files: modelFiles, origin: modelOrigin, prefixIds } = this
    return { model, modelName, modelFiles, modelOrigin, prefixIds, encode: (text) => this.encode(text) }
  }

  /**
   * The ids of a text, without special tokens; with `prefix` those are added that the tokenizer puts around a text, such as
   * `</s>` before one of OPT. It works after `dispose` too.
   * @param text without special tokens: what spells one is text
   * @param options default: no `prefix`
   * @throws InputError TOKENIZER_MISSING, TEXT_SURROGATE, TEXT_BYTE, TEXT_MARKS; UsageError TEXT
   */
  encode(text: string, { prefix = false }: { readonly prefix?: boolean } = {}): number[] {
    expectOption('text', text, { ...kinds.text, code: 'TEXT' })
    if (this.tokenizer) return this.tokenizer.encode(text, { prefix })
    throw new InputError(
      'TOKENIZER_MISSING',
      `text: expected tokenizer.json, or vocab.json with merges.txt, in the folder of ${this.name}, got neither`,
    )
  }

  /**
   * Continues a prompt, streaming: each token is handed out as soon as it is chosen. Leaving the loop ends the generation.
   * @param prompt text, around which the tokenizer puts its special tokens (`</s>` before one of OPT), or ids, which are
   *   used unchanged
   * @returns at the end: `stop` if the model or a stop text ended it, `length` if maxTokens or the context did
   * @throws UsageError PROMPT if it is empty, CONTEXT_LENGTH if it and maxTokens do not fit the model, TOKENS for ids that it does not
   *   have; for the value of an option the code with its name, such as SPARSITY, PLANNER, STOP or TOP_K for `topK`; SAMPLER for a sampler beside options of sampling, or one that returns no id; OPTION_NAME for an
   *   option that there is not, OPTION_TYPE and OPTIONS for a wrong type; SESSION for a session of a chat, BUSY for one that another call is still writing to, DISPOSED; MissingError
   *   PREDICTOR_MISSING; the signal's reason
   * @specified `generate`
   * @example
   * ```ts
   * import { ShadowModel } from 'shadowllm'
   *
   * const opt = await ShadowModel.fromPretrained()
   * let text = ''
   * for await (const step of opt.generate('Once upon a time', { sparsity: 0.5, maxTokens: 12 })) text += step.text
   * console.log(text)
   * await opt.dispose()
   * ```
   */
  async *generate(
    prompt: string | Ids,
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerateStep, GenerateEnd, void> {
    this.#expectLive()
    checkOptions(options, generateKinds)
    const { session } = options
    const steps = (): AsyncGenerator<GenerateStep, GenerateEnd, void> => {
      const ids = this.#promptIds(prompt, session?.tokens.length)
      const how = { most: DEFAULT_TOKENS, stopIds: this.stopIds, continues: true }
      return this.#write(ids, options, { ...how, kind: 'text' })
    }
    return yield* session ? session.alone(steps) : steps()
  }

  /**
   * Opens what texts and chats are saved in and go on from: that of a file, or a new one if there is no file.
   * A text goes on from the session; the messages of a chat are given whole at every call, and replace those of the session.
   * @param path a file; nothing is written before `save`
   * @param answering options of the answers to come, if a chat is to go on: a session that does not fit them is refused at once
   * @throws InputError SESSION_MODEL for the session of another model, SESSION for another form, and as for every file; UsageError
   *   SESSION for a session that does not fit `answering`
   * @example
   * ```ts no-run
   * import { collectText, ShadowModel } from 'shadowllm'
   *
   * const opt = await ShadowModel.fromPretrained()
   * const session = await opt.openSession('captain.session')
   * await collectText(opt.generate('The captain looked at', { session, maxTokens: 12 }))
   * // Goes on where it ended, here or in another process.
   * await collectText(opt.generate('', { session, maxTokens: 12 }))
   * await session.save()
   * await opt.dispose()
   * ```
   */
  async openSession(path: string, answering?: ChatOptions): Promise<TextSession> {
    this.#expectLive()
    expectOption('session', path, {
      ...kinds.path,
      words: 'the path of a file',
      holds: (value) => typeof value === 'string' && value !== '',
    })
    if (answering !== undefined) checkOptions(answering, chatKinds)
    const { TextSession } = await import('./text_session.ts')
    this.#hash ??= hashFiles(this.files)
    const session = await TextSession.open(path, { config: this.config, hash: await this.#hash })
    this.#expectLive()
    this.#sessions.add(session)
    if (answering !== undefined) session.expect('chat', await this.#settings('chat', null, answering))
    return session
  }

  /**
   * Answers the last message of a chat, token by token. Leaving the loop ends the answer. The chat is
   * written by the model's template; what messages spell never becomes a special token. What a model thinks before it answers
   * is told apart (`thinking` of a step) and is no part of the answer.
   *
   * The cache is kept until the next chat, whose tokens are taken from it as far as they are the same and
   * the bits are those of a fresh run: dense, and under planners that decide the same mask again (see
   * `onPrompt`). One chat is kept.
   * In a session the messages are all of the talk, as without one; they replace those that it has, also where they begin another talk,
   * and as much of its cache is used again as is the same.
   * @param messages in order, the question last; each has a role, `system`, `user` or `assistant`
   * @returns at the end: `stop` if the model or a stop text ended it, `length` if maxTokens or the context did
   * @throws InputError CHAT_TEMPLATE_MISSING, TOKENIZER_MISSING, CHAT_TEMPLATE_* for a template that cannot
   *   be rendered or refuses the messages, CHAT_MESSAGE; UsageError MESSAGES, and as `generate`
   * @example
   * ```ts no-run
   * import { ShadowModel } from 'shadowllm'
   *
   * const smollm2 = await ShadowModel.fromPretrained('HuggingFaceTB/SmolLM2-135M-Instruct')
   * const messages = [{ role: 'user', content: 'What is gravity?' }]
   * let answer = ''
   * for await (const step of smollm2.chat(messages)) answer += step.text
   * messages.push({ role: 'assistant', content: answer }, { role: 'user', content: 'Who found it?' })
   * for await (const step of smollm2.chat(messages, { planner: 'random', sparsity: 0.3 })) console.log(step.text)
   * await smollm2.dispose()
   * ```
   */
  async *chat(
    messages: readonly ChatMessage[],
    options: ChatOptions = {},
  ): AsyncGenerator<GenerateStep, GenerateEnd, void> {
    this.#expectLive()
    checkOptions(options, chatKinds)
    expectMessages(messages)
    const { session } = options
    const steps = (): AsyncGenerator<GenerateStep, GenerateEnd, void> => this.#answer(messages, options)
    return yield* session ? session.alone(steps) : steps()
  }

  /** The steps of `chat`. */
  async *#answer(
    messages: readonly ChatMessage[],
    options: ChatOptions,
  ): AsyncGenerator<GenerateStep, GenerateEnd, void> {
    const { onPrompt, session, chatTemplateKwargs } = options
    const { ids } = await this.chatPrompt(messages, chatTemplateKwargs)
    const eosToken = this.chatTemplate?.eosToken ?? null
    const end = eosToken === null ? null : (this.tokenizer?.idOf(eosToken) ?? null)
    const steps = this.#write(this.#promptIds(ids), options, {
      kind: 'chat',
      most: MAX_ANSWER,
      stopIds: end === null ? this.stopIds : [...this.stopIds, end],
      continues: false,
      conversation: this.#conversation,
      onPrompt,
    })
    if (!session) return yield* steps
    const named = options.planner ?? (await this.#planners.usual(options))
    let answer: string | null = null
    try {
      for (;;) {
        const { done, value } = await steps.next()
        if (!done) answer = (answer ?? '') + (value.thinking ? '' : value.text)
        else {
          answer ??= ''
          return value
        }
        yield value
      }
    } finally {
      await steps.return('length')
      // A message without an answer is taken back; an empty answer is one.
      const { sparsity, headSparsity, neuronSparsity, maxTokens } = options
      const drawing: SamplerOptions = Object.fromEntries(
        samplingNames.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
      )
      const choice =
        typeof named === 'string'
          ? { planner: named, sparsity, headSparsity, neuronSparsity, maxTokens, ...drawing }
          : null
      if (answer !== null) session.say([...messages, { role: 'assistant', content: answer }], choice)
    }
  }

  /**
   * A chat as the model reads it, ready for an answer.
   * @param chatTemplateKwargs variables of the template, such as `{ enable_thinking: false }`
   * @param messages as for `chat`
   * @throws as `chat`
   */
  async chatPrompt(
    messages: readonly ChatMessage[],
    chatTemplateKwargs: TemplateVariables = {},
  ): Promise<ChatPrompt> {
    expectMessages(messages)
    expectOption('chatTemplateKwargs', chatTemplateKwargs, variablesOption)
    const { tokenizer, name } = this
    const template = expectTemplate(name, this.chatTemplate)
    if (!tokenizer)
      throw new InputError('TOKENIZER_MISSING', `${name}: expected a tokenizer with the model, got none`)
    // The template language is loaded where a chat is written.
    const { chatPrompt } = await import('../io/chat_prompt.ts')
    return chatPrompt(template, tokenizer, messages, { variables: chatTemplateKwargs })
  }

  /** The tokens after a prompt, as text too. */
  async *#write(
    ids: Int32Array,
    options: GenerateOptions,
    { kind, most, continues, conversation, ...how }: Writing,
  ): AsyncGenerator<GenerateStep, GenerateEnd, void> {
    const { signal, mode, cache, check, onMask, onEnd, session } = options
    const sampler = samplerOf(options)
    const planner = await this.#planner(options)
    const place = session ? session.place(kind, await this.#settings(kind, planner, options)) : conversation
    this.#expectLive()
    const room = this.config.positions - ids.length - (place?.tokens.length ?? 0)
    const maxTokens = options.maxTokens ?? Math.max(0, Math.min(most, room))
    const decided = { maxTokens, planner, mode, cache, sampler, check, onMask, onEnd, signal }
    const tokens = generateTokens(this.model, ids, { ...decided, ...how, conversation: place })
    const text = this.tokenizer?.stream({ skipSpecial: true, continues })
    const stops = new StopText(stopTexts(options.stop))
    const splitter = kind === 'chat' && this.tokenizer ? new ThinkingSplitter(this.tokenizer, ids) : null
    let stopped = false
    const step = (piece: string, token: number, index: number, isLast: boolean): GenerateStep => {
      const part = splitter?.take(token, piece) ?? { thinking: '', text: piece }
      // A mark has no text, and belongs to the thinking.
      const isThought = part.thinking !== '' || (part.text === '' && splitter?.isOn)
      if (isThought) return { text: part.thinking, token, index, thinking: true }
      const shown = stops.push(part.text)
      ;({ stopped } = shown)
      return { text: isLast && !stopped ? shown.text + stops.end() : shown.text, token, index }
    }
    this.#running.add(tokens)
    try {
      for (let count = 0; ; count++) {
        const { done, value } = await tokens.next()
        this.#expectLive()
        if (done) {
          // The text ended inside a character, or with what may begin a stop text: the rest comes with the final `</s>`.
          const rest = step(text?.end() ?? '', this.config.eosIds[0], count, true)
          if (rest.text !== '') yield rest
          return stopped ? 'stop' : value
        }
        const { token, index } = value
        const piece = text?.push(token) ?? ''
        const isLast = index + 1 === maxTokens
        yield step(isLast ? piece + (text?.end() ?? '') : piece, token, index, isLast)
        this.#expectLive()
        if (stopped) return 'stop'
      }
    } finally {
      this.#running.delete(tokens)
      await tokens.return('length')
    }
  }

  /**
   * Logits of every position: [T, V] of one sequence, [B, T, V] of a batch (0 at padding).
   * @param input ids of one sequence, or rows of ids of equal length with a mask of padding
   * @throws UsageError TOKENS, BATCH_SHAPE, CONTEXT_LENGTH, SPARSITY, PLANNER, DISPOSED, OPTIONS, OPTION_NAME,
   *   OPTION_TYPE; InputError MASK_NOT_CONTIGUOUS
   * @example
   * ```ts
   * import { ShadowModel } from 'shadowllm'
   *
   * const opt = await ShadowModel.fromPretrained('embedded', { backend: 'reference' })
   * const { logits } = await opt.forward([2, 601, 3455])
   * console.log(logits.shape)
   * await opt.dispose()
   * ```
   */
  async forward(input: Ids | BatchInput, options: PlanOptions = {}): Promise<{ logits: FloatArray }> {
    this.#expectLive()
    checkOptions(options, planKinds)
    const plan = { planner: await this.#planner(options), mode: options.mode }
    await pause(options.signal)
    this.#expectLive()
    const { vocabulary: V } = this.config
    if (!isObject(input))
      throw new UsageError('TOKENS', `tokens: expected ids or a batch of them, got ${describeValue(input)}`)
    if (!('input_ids' in input)) {
      const ids = readIds(input, 'tokens')
      return { logits: asNdarray(forwardBatch(this.model, ids, null, 1, ids.length, plan), [ids.length, V]) }
    }
    const { B, T, values } = readIdTable(input.input_ids, 'input_ids')
    const mask = input.attention_mask ? readIdTable(input.attention_mask, 'attention_mask') : null
    if (mask && (mask.B !== B || mask.T !== T))
      throw new UsageError('BATCH_SHAPE', `attention_mask: expected [${B}, ${T}], got [${mask.B}, ${mask.T}]`)
    return {
      logits: asNdarray(forwardBatch(this.model, values, mask?.values ?? null, B, T, plan), [B, T, V]),
    }
  }

  /**
   * The mask that a planner decides for a prompt. `givenMask(mask, await model.planner(options))` is a planner that gives it back, with
   * the text that the same options give. With neither a planner nor a share, that of `usualPlanner` at 0.5, as "shadowllm masks" has it.
   * @param prompt text, or its ids
   * @returns which heads and neurons are computed, in flat arrays, row by row: heads [L, H], neurons [L, F]
   * @throws UsageError PROMPT, PLANNER, CONTINUATION for an oracle without one, CONTEXT_LENGTH, and as
   *   `generate`
   * @specified `plan`
   */
  async mask(prompt: string | Ids, options: MaskOptions = {}): Promise<UnitMask> {
    this.#expectLive()
    checkOptions(options, maskKinds)
    const ids = this.#promptIds(prompt)
    const { planner = await this.#planners.usual({ ...options, sparsity: options.sparsity ?? 0.5 }) } =
      options
    if (typeof planner === 'object') expectNoChoice(planner, options)
    const oracleScores = planner === 'oracle' ? this.#oracleScores(ids, options) : undefined
    const decider =
      typeof planner === 'object' ? planner : await this.#planners.planner(planner, options, oracleScores)
    this.#expectLive()
    return decider ? promptMask(this.model, decider, ids) : denseMask(this.model.shape)
  }

  /**
   * The planner that `generate` uses with these options; null is dense. `rankingOf` gives the scores of a planner that ranks
   * units.
   * @throws UsageError PLANNER, SPARSITY, SCOPE, CRITERION_NAME, DISPOSED, OPTIONS, OPTION_NAME, OPTION_TYPE; MissingError
   *   PREDICTOR_MISSING, CALIBRATION_MISSING
   */
  async planner(options: PlanOptions = {}): Promise<MaskPlanner | null> {
    this.#expectLive()
    checkOptions(options, planKinds)
    return this.#planner(options)
  }

  /**
   * The planner that these options mean if they name none: `dense` without a sparsity. With one it is `shadow`; but for a model with
   * gated MLPs that has no predictor beside it, and for which none was loaded, `griffin`, or `glass` by a loaded calibration. These two skip neurons alone: a
   * `headSparsity`, `every` and a masked prompt, which they refuse, mean `shadow`.
   * @throws UsageError DISPOSED, OPTIONS, OPTION_NAME, OPTION_TYPE
   */
  async usualPlanner(options: PlanOptions = {}): Promise<UsualPlanner> {
    this.#expectLive()
    checkOptions(options, planKinds)
    return this.#planners.usual(options)
  }

  /**
   * Planners by name, ready to be measured: the methods of `compareMethods` in shadowllm/eval, and what they decide by. Both go to
   * `textPerplexity` or `runTasks`. What planners decide by is found as in `generate`: predictors of `loadPredictor`, for
   * `shadow` also the model's own or the one of this package, the calibration of `loadCalibration` and the moments of `addMoments`.
   * It is freed with the model.
   * @param compared the planners and sparsities, and settings of all methods
   * @returns the list `methods`, dense first, and its `sources`
   * @example
   * ```ts
   * import { ShadowModel } from 'shadowllm'
   * import { textPerplexity } from 'shadowllm/eval'
   *
   * const opt = await ShadowModel.fromPretrained()
   * const compared = await opt.compareMethods({ planners: ['shadow', 'random'], sparsities: [0.5] })
   * const text = 'Once upon a time, there was a little dog who liked to play in the park. '.repeat(20)
   * const { rows } = await textPerplexity({ ...opt.measured, text, ...compared, context: 64, windows: 2 })
   * for (const { planner, klPerToken } of rows) console.log(planner, klPerToken.toFixed(2))
   * await opt.dispose()
   * ```
   * @throws UsageError PLANNER, SPARSITY, SCOPE, CRITERION_NAME, DISPOSED, OPTIONS, OPTION_NAME, OPTION_TYPE; MissingError PREDICTOR_MISSING,
   *   CALIBRATION_MISSING, MOMENTS_MISSING, PLANNER_SOURCE; InputError as for every file that is read
   */
  async compareMethods(compared: ComparedPlanners): Promise<ComparedMethods> {
    this.#expectLive()
    checkOptions(compared, comparedKinds)
    const found = await this.#planners.compared(compared)
    this.#expectLive()
    return found
  }

  /**
   * The perplexity of the dense model on a text. A text longer than the context is cut into pieces of that length, each
   * scored separately after what the tokenizer puts before a text, `</s>` of OPT. Where that is nothing, the first token of a
   * piece has nothing before it and is not scored. Under masks, with the KL from the dense model, `textPerplexity` measures.
   * @param text of any length
   * @param options a signal that ends the measurement: it is looked at before every 64 tokens, in the middle of a piece too. The call then
   *   throws the signal's reason and gives no number of what it has read; the model stays usable
   * @example
   * ```ts
   * import { ShadowModel } from 'shadowllm'
   *
   * const opt = await ShadowModel.fromPretrained()
   * const { wordPerplexity, tokens } = await opt.perplexity('Once upon a time, there was a little girl named Lily.')
   * console.log(wordPerplexity.toFixed(1), 'per word, over', tokens, 'tokens')
   * await opt.dispose()
   * ```
   * @throws UsageError PROMPT for a text without a token to score, DISPOSED; InputError TOKENIZER_MISSING; the signal's reason
   */
  async perplexity(text: string, options: { readonly signal?: AbortSignal } = {}): Promise<Perplexity> {
    this.#expectLive()
    checkOptions(options, perplexityKinds)
    const ids = this.encode(text)
    const { prefixIds } = this
    // The first token of a piece is scored if something is before it.
    const lost = prefixIds.length > 0 ? 0 : 1
    if (ids.length <= lost)
      throw new UsageError(
        'PROMPT',
        text === ''
          ? 'text: expected some text, got none'
          : `text: expected at least ${lost + 1} tokens, got ${ids.length}`,
      )
    const room = this.config.positions - prefixIds.length
    let nll = 0
    let tokens = 0
    for (let start = 0; start < ids.length; start += room) {
      const piece = ids.slice(start, start + room)
      nll += await this.#nats(Int32Array.of(...prefixIds, ...piece), prefixIds.length, options.signal)
      tokens += piece.length - lost
    }
    const words = Math.max(1, text.split(/\s+/).filter(Boolean).length)
    return {
      tokenPerplexity: Math.exp(nll / tokens),
      wordPerplexity: Math.exp(nll / words),
      nll,
      tokens,
      words,
    }
  }

  /** Ends all running generations and frees the model. Safe to call twice. */
  async dispose(): Promise<void> {
    if (this.#disposed) return
    this.#disposed = true
    await Promise.all([...this.#running].map((tokens) => tokens.return(undefined)))
    this.#conversation.dispose()
    for (const session of this.#sessions) session.dispose()
    this.#planners.dispose()
    this.model.dispose()
    this.#backend.dispose()
  }

  /** As `dispose`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  #expectLive(): void {
    if (this.#disposed) throw new UsageError('DISPOSED', 'the model has been disposed')
  }

  /** @param before tokens of the text that it follows; none need follow some */
  #promptIds(prompt: string | Ids, before = 0): Int32Array {
    expectOption('prompt', prompt, { ...kinds.ids, code: 'PROMPT' })
    if (typeof prompt !== 'string' && isObject(prompt[0]) && 'role' in prompt[0])
      throw new UsageError('PROMPT', 'prompt: expected text or ids, got messages, which chat answers', {
        option: 'prompt',
      })
    if (prompt.length === 0 && before === 0)
      throw new UsageError('PROMPT', 'prompt: expected some text, got none', { option: 'prompt' })
    const ids = typeof prompt === 'string' ? this.encode(prompt, { prefix: before === 0 }) : prompt
    const room = this.config.positions - before
    if (ids.length >= room) {
      const [less, other] =
        before > 0 ? [` less the ${before} of the session`, ', or begin another session'] : ['', '']
      throw new UsageError(
        'CONTEXT_LENGTH',
        `prompt: expected fewer than ${room} tokens (the model's context${less}), got ${ids.length}; shorten it${other}`,
        { option: 'prompt' },
      )
    }
    return ids.length === 0 ? new Int32Array(0) : readIds(ids, 'prompt')
  }

  /** The settings of a session in which what follows must be equal. */
  async #settings(
    kind: Writing['kind'],
    planner: MaskPlanner | null,
    options: GenerateOptions,
  ): Promise<SessionSettings> {
    const { storage } = this.model.weights
    return {
      storage,
      cache: options.cache ?? defaultCache(storage),
      backend: bitsOf(this.#backend.name),
      // A chat decides its mask anew in each turn.
      planner: kind === 'chat' ? 'any' : await this.#planners.words(planner, options),
    }
  }

  async #planner(options: PlanOptions): Promise<MaskPlanner | null> {
    const { planner = await this.#planners.usual(options), check } = options
    if (typeof planner === 'object') {
      expectNoChoice(planner, options)
      expectCheckable(check, planner)
      return planner
    }
    expectOption('planner', planner, generationOption)
    // What is checked follows a dense prompt.
    const prefill = options.prefill ?? (check === undefined ? undefined : 'dense')
    const decided = await this.#planners.planner(planner, { ...options, prefill })
    expectCheckable(check, decided)
    return decided
  }

  /** The criterion's scores of the continuation of a prompt. */
  #oracleScores(prompt: Int32Array, { continuation, criterion = 'plainact', seed }: MaskOptions): UnitScores {
    const ids = typeof continuation === 'string' ? this.encode(continuation) : (continuation ?? [])
    if (ids.length === 0)
      throw new UsageError('CONTINUATION', 'planner oracle: expected a continuation, got none', {
        option: 'continuation',
      })
    return scoreContinuation(
      this.model,
      prompt,
      readIds(ids, 'continuation'),
      criterionByName(criterion),
      seed,
    )
  }

  /** Nats of the tokens from `from` on; the first token of all is not scored. */
  async #nats(ids: Int32Array, from: number, signal: AbortSignal | undefined): Promise<number> {
    const labels = shiftLabels(ids.slice().fill(NOT_SCORED, 0, from))
    const parts = this.#scores(ids, labels, signal)
    let total = 0
    this.#running.add(parts)
    try {
      for await (const scores of parts) {
        this.#expectLive()
        for (const value of scores) total += value
      }
    } finally {
      this.#running.delete(parts)
    }
    this.#expectLive()
    return total
  }

  /** The scores of tokens, some at a time. */
  async *#scores(
    ids: Int32Array,
    labels: Int32Array,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Float32Array, void, void> {
    const sequence = this.model.begin({ capacity: ids.length })
    try {
      for (let start = 0; start < ids.length; start += SCORED_AT_ONCE) {
        await pause(signal)
        const end = start + SCORED_AT_ONCE
        yield sequence.score(ids.subarray(start, end), labels.subarray(start, end))
      }
    } finally {
      sequence.dispose()
    }
  }
}
