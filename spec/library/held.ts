/**
 * What laws of the library's door ask of a model they are given: how a call ends, and what it leaves behind.
 */
import { expect } from 'vitest'
import { ShadowError, type GenerateOptions, type Ids, type ShadowModel } from '../../src/library/index.ts'

/** The ids of a text that is written to its end. */
export async function write(
  opt: ShadowModel,
  prompt: string | Ids,
  options?: GenerateOptions,
): Promise<number[]> {
  const tokens: number[] = []
  for await (const { token } of opt.generate(prompt, options)) tokens.push(token)
  return tokens
}

/** What errors say that have nothing of the form `expected X, got Y`. */
const sentences: Record<string, RegExp> = {
  DISPOSED: /^the [a-z]+ has been disposed$/,
  OPTION_NAME: /^unknown option [^\n]+: expected [^\n]+$/,
}

/** The code a piece of work is refused with, or `done`. @throws whatever is not one of our errors */
export async function outcome(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'done'
  } catch (error) {
    if (!(error instanceof ShadowError)) throw error
    expect(error.message).toMatch(sentences[error.code] ?? /^[^\s:][^\n]*: expected [^\n]+, got [^\n]+$/)
    return error.code
  }
}

/** Does some work, and sees that it leaves nothing behind and the model as usable as it was. */
export async function leavesNothing<T>(opt: ShadowModel, work: () => Promise<T>): Promise<T> {
  const { backend } = opt.model
  const before = backend.liveBuffers
  const known = await write(opt, [5, 6], { maxTokens: 2 })
  try {
    return await work()
  } finally {
    expect(backend.liveBuffers, 'buffers left behind').toBe(before)
    expect(await write(opt, [5, 6], { maxTokens: 2 })).toEqual(known)
  }
}
