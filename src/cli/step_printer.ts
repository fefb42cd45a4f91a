/**
 * Shows the steps of a text: what a model thinks is dimmed at a terminal, and is nothing of the text through a pipe. Answers are wrapped
 * between words at a terminal.
 */
import type { GenerateStep } from '../library/options.ts'
import { shownText } from '../tensor/quote.ts'
import { dim } from './screen.ts'
import type { Session } from './session.ts'
import { WordWrap } from './word_wrap.ts'

/** Prints the steps of one text. */
export interface StepPrinter {
  show(step: GenerateStep): Promise<void>
  /** Prints what is held back. */
  end(): Promise<void>
}

/** Prints one step after the other. @param isAnswer whether the text begins a line, so that it can be wrapped */
export function stepPrinter(
  session: Pick<Session, 'print' | 'isTerminal' | 'screen'>,
  isAnswer: boolean,
): StepPrinter {
  const wrap = new WordWrap(() => (isAnswer ? session.screen.columns : Infinity))
  let isThinking = false
  const put = async (text: string): Promise<void> => {
    if (text !== '') await session.print(isThinking ? dim(text) : text)
  }
  return {
    async show({ text, thinking }) {
      if (text === '' || (thinking && !session.isTerminal)) return
      if (isThinking && !thinking) {
        // The answer begins on a line of its own.
        await put(wrap.end())
        isThinking = false
        await put(wrap.push('\n\n'))
      }
      isThinking = thinking === true
      // What is spelt takes the columns of its spelling.
      await put(wrap.push(shownText(text)))
    },
    end: () => put(wrap.end()),
  }
}
