/**
 * A text or a chat that can be saved, and gone on with later, also by another process.
 */
import { Conversation, type TextPlace } from '../engine/conversation.ts'
import { KeptText } from '../engine/kept_text.ts'
import type { ChatMessage } from '../io/chat_prompt.ts'
import { isThere } from '../io/files.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  readSession,
  sessionSettings,
  writeSession,
  type ChatChoice,
  type SavedSession,
  type SessionModel,
  type SessionSettings,
} from './session_file.ts'

/** What is going on in a session. */
type Going =
  | { readonly kind: 'text'; readonly place: KeptText }
  | {
      readonly kind: 'chat'
      readonly place: Conversation
      messages: readonly ChatMessage[]
      choice: ChatChoice | null
    }

/**
 * A text or a chat, by the first call of `generate` or `chat` that it is given to. Made by `ShadowModel.openSession`, and freed
 * with its model. What follows in a session has the bits that it would have without a break: keys, values, tokens, mask, what the
 * planner remembers and the random numbers yet to be drawn go on where they were. One call writes to it at a time.
 */
export class TextSession {
  /** Its file. */
  readonly path: string
  readonly #model: SessionModel
  #settings: SessionSettings | null = null
  #going: Going | null = null
  #isWritten = false
  #disposed = false

  private constructor(path: string, model: SessionModel, saved: SavedSession | null) {
    this.path = path
    this.#model = model
    if (!saved) return
    const { settings, content } = saved
    this.#settings = settings
    this.#going =
      content.kind === 'text'
        ? { kind: 'text', place: new KeptText(content.state) }
        : {
            kind: 'chat',
            place: new Conversation(true, content.state),
            messages: content.messages,
            choice: content.choice,
          }
  }

  /** Opens the session of a file; a new one if there is no file. @throws InputError as `readSession` */
  static async open(path: string, model: SessionModel): Promise<TextSession> {
    return new TextSession(path, model, (await isThere(path)) ? await readSession(path, model) : null)
  }

  /** Null before the first text. */
  get kind(): 'text' | 'chat' | null {
    return this.#going?.kind ?? null
  }

  /** The tokens of the text so far; none of a chat, and while a text is written. */
  get tokens(): readonly number[] {
    return this.#going?.place.tokens ?? []
  }

  /** The messages of the chat so far, the last answer included; none of a text. */
  get messages(): readonly ChatMessage[] {
    return this.#going?.kind === 'chat' ? this.#going.messages : []
  }

  /** The planner of the last answer of the chat, the shares that it skipped, its limit of tokens and how they were drawn; null before the first answer, after one under a planner object, and of a text. */
  get choice(): ChatChoice | null {
    return this.#going?.kind === 'chat' ? this.#going.choice : null
  }

  /**
   * Writes the session to its file, which is replaced as a whole or not at all. A text that is being written is not saved, nor is
   * one that an error has cut: the file then stays as it is.
   * @returns whether there was something to save
   * @throws UsageError SESSION as `writeSession`, DISPOSED; the system's error if the file cannot be written
   */
  async save(): Promise<boolean> {
    this.#expectLive()
    const going = this.#going
    const { hash, config } = this.#model
    if (!going || !this.#settings) return false
    const about = { model: hash, settings: this.#settings }
    if (going.kind === 'chat') {
      const { kind, messages, place, choice } = going
      const content = { kind, messages, state: place.state, choice }
      await writeSession(this.path, { ...about, content }, config)
      return true
    }
    const { state } = going.place
    if (!state) return false
    await writeSession(this.path, { ...about, content: { kind: going.kind, state } }, config)
    return true
  }

  /**
   * Runs a call that writes to the session; no other may until it has ended. Called by `generate` and `chat`.
   * @internal
   * @param call begins the steps, when no other call is writing
   * @throws UsageError BUSY while another call is writing to it, DISPOSED; and what the call throws
   */
  async *alone<Step, End>(call: () => AsyncGenerator<Step, End, void>): AsyncGenerator<Step, End, void> {
    this.#expectLive()
    if (this.#isWritten)
      throw new UsageError(
        'BUSY',
        `session ${this.path}: expected one call at a time, got another while a call is still writing to it`,
      )
    this.#isWritten = true
    try {
      return yield* call()
    } finally {
      this.#isWritten = false
    }
  }

  /**
   * Where the sequence of a text or of an answer comes from; called by `generate` and `chat`.
   * @internal
   * @param kind of the call
   * @throws UsageError SESSION for a session of the other kind, or of other settings; DISPOSED
   */
  place(kind: Going['kind'], settings: SessionSettings): TextPlace {
    this.#expectLive()
    this.expect(kind, settings)
    this.#settings ??= settings
    this.#going ??=
      kind === 'text'
        ? { kind, place: new KeptText() }
        : { kind, place: new Conversation(), messages: [], choice: null }
    return this.#going.place
  }

  /**
   * Refuses a call that the session cannot go on with.
   * @internal
   * @param kind of the call
   * @throws UsageError SESSION as `place`
   */
  expect(kind: Going['kind'], settings: SessionSettings): void {
    const [going, known] = [this.#going, this.#settings]
    if (going && going.kind !== kind) throw this.#refuse('session', `a ${kind}`, `a ${going.kind}`)
    for (const name of sessionSettings)
      if (known && known[name] !== settings[name]) throw this.#refuse(name, known[name], settings[name])
  }

  /**
   * A turn has ended: what was said so far.
   * @internal
   * @param messages of the chat, the answer included
   * @param choice by which it was answered; default: as before
   */
  say(messages: readonly ChatMessage[], choice: ChatChoice | null = this.choice): void {
    if (this.#going?.kind === 'chat') Object.assign(this.#going, { messages, choice })
  }

  /** Frees what it keeps. Safe to call twice. */
  dispose(): void {
    this.#disposed = true
    this.#going?.place.dispose()
  }

  #expectLive(): void {
    if (this.#disposed) throw new UsageError('DISPOSED', 'the session has been disposed')
  }

  #refuse(what: string, expected: string, got: string): UsageError {
    const words = `${what}: expected ${expected}, as in ${this.path}, got ${got}`
    return new UsageError('SESSION', `${words}; the same goes on, another file begins anew`)
  }
}
