/**
 * A whole text, for programs that do not show it token by token.
 */
import type { GenerateEnd } from '../engine/generate.ts'
import type { GenerateStep } from './options.ts'
import { describeValue } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'

/** A text that has ended. */
export interface WholeText {
  /** Without the prompt. */
  readonly text: string
  /** What the model thought before, if it did. */
  readonly thinking?: string
  /** Ids, without the prompt. */
  readonly tokens: readonly number[]
  /** `stop` if the model or a stop text ended it, `length` if the limit of tokens or the context did. */
  readonly end: GenerateEnd
}

/**
 * Runs a generation or an answer to its end.
 * @param steps of `ShadowModel.generate` or `ShadowModel.chat`
 * @throws UsageError STEPS for anything but steps, and what the steps throw
 * @example
 * ```ts
 * import { collectText, ShadowModel } from 'shadowllm'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { text, end } = await collectText(opt.generate('The captain looked at', { maxTokens: 12 }))
 * console.log(text, end)
 * await opt.dispose()
 * ```
 */
export async function collectText(
  steps: AsyncGenerator<GenerateStep, GenerateEnd, void>,
): Promise<WholeText> {
  if (typeof (steps as Partial<typeof steps> | null | undefined)?.next !== 'function')
    throw new UsageError(
      'STEPS',
      `collectText: expected steps of generate or chat, got ${describeValue(steps)}`,
    )
  let [text, thinking] = ['', '']
  const tokens: number[] = []
  for (;;) {
    const { done, value } = await steps.next()
    if (done) return { text, ...(thinking !== '' && { thinking }), tokens, end: value }
    if (value.thinking) thinking += value.text
    else text += value.text
    tokens.push(value.token)
  }
}
