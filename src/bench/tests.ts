/**
 * What is timed, by the names llama-bench gave it: pp128 reads a prompt, tg128 generates after a prompt of 32 tokens, tg32@2000
 * after one of 2000.
 */
import { UsageError } from '../tensor/errors.ts'

/** One thing to time. */
export interface BenchTest {
  readonly name: string
  readonly kind: 'prompt' | 'decode'
  /** Tokens under the clock. */
  readonly tokens: number
  /** Tokens before them. */
  readonly context: number
  /**
   * Whether the prompt is read once and every turn goes on from it, because reading it takes far longer than what is
   * timed; what planning and packing took is then the same in every turn.
   */
  readonly keepsPrompt: boolean
}

/** Tokens before those that are generated where nothing else is said. */
export const USUAL_PROMPT = 32

/**
 * Reads a test of `Bench`.
 * @param name `pp128` reads a prompt of 128 tokens; `tg128` generates as many after a prompt of 32, `tg128@2000` after one of 2000
 * @throws UsageError TEST
 */
export function parseTest(name: string): BenchTest {
  const [, kind, tokens, context] = /^(pp|tg)([1-9]\d{0,5})(?:@([1-9]\d{0,5}))?$/.exec(name) ?? []
  if (kind === 'pp' && context === undefined)
    return { name, kind: 'prompt', tokens: Number(tokens), context: 0, keepsPrompt: false }
  if (kind === 'tg')
    return {
      name,
      kind: 'decode',
      tokens: Number(tokens),
      context: Number(context ?? USUAL_PROMPT),
      keepsPrompt: context !== undefined,
    }
  throw new UsageError(
    'TEST',
    `test: expected such as pp128, tg128 or tg32@2000, got ${name === '' ? 'nothing' : name}`,
  )
}

/** What a test does, in words. */
export function testWords(name: string): string {
  const { kind, tokens, context } = parseTest(name)
  return kind === 'prompt'
    ? `a prompt of ${tokens} tokens is read`
    : `${tokens} tokens are generated one by one after a prompt of ${context}, with the time of planning and packing`
}

/** @throws UsageError CONTEXT_LENGTH if a model has too few positions for a test */
export function checkFits({ name, tokens, context }: BenchTest, positions: number): void {
  if (tokens + context > positions)
    throw new UsageError(
      'CONTEXT_LENGTH',
      `test ${name}: expected at most ${positions} positions (the model's context), got ${context} + ${tokens}`,
    )
}
