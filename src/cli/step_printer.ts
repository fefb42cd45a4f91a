/**
 * Shows the steps of a text: what a model thinks is dimmed at a terminal, and is nothing of the text through a pipe.
 */
import type { GenerateStep } from '../library/options.ts'
import { dim } from './screen.ts'
import type { Session } from './session.ts'

/** Prints one step after the other. */
export function stepPrinter(
  session: Pick<Session, 'print' | 'isTerminal'>,
): (step: GenerateStep) => Promise<void> {
  let hasThought = false
  return async ({ text, thinking }) => {
    if (text === '' || (thinking && !session.isTerminal)) return
    if (thinking) await session.print(dim(text))
    // The answer begins on a line of its own.
    else await session.print(hasThought ? `\n\n${text}` : text)
    hasThought = thinking === true
  }
}
