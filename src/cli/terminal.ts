/**
 * The only file that writes to stdout and stderr (spec/architecture.spec.ts). All text passes `render`, which spells what a
 * terminal would obey, also where a pipe or a file is written to: either may end in a terminal.
 */
import { hasColours, isTerminal, now, terminalWidth, write, type Output } from '../platform/platform.ts'
import { shownText } from '../tensor/quote.ts'
import { whileWriting } from './output.ts'
import { makeProgressLine, type ProgressLine } from './progress.ts'
import { plainScreen, render, type Screen, type Text } from './screen.ts'
import { wrapWords } from './word_wrap.ts'

/** What a command writes with. */
export interface Terminal {
  /** Writes data to stdout. @throws UsageError OUTPUT if there is no room for it */
  print(text: Text): Promise<void>
  /** Writes a line to stderr: what a command has to say that is not its data. */
  note(text: Text): Promise<void>
  /** Writes why the command failed to stderr, as far as that can be written. */
  complain(text: Text): Promise<void>
  readonly progress: ProgressLine
  /** Turns progress off. */
  quieten(): void
  /** Whether stdout is a terminal. */
  readonly isTerminal: boolean
  /** What `print` writes for. */
  readonly screen: Screen
}

/** Where a terminal writes: the streams of a process or of a test. */
export interface Streams {
  write(output: Output, text: string): Promise<void>
  isTerminal(output: Output): boolean
  /** What stdout is. */
  screen(): Screen
  /** Characters of a line of stderr, now. */
  columns(): number
  now(): number // ms
}

/** The streams of this process. NO_COLOR turns colours off. */
const processStreams: Streams = {
  write,
  isTerminal,
  screen: () =>
    isTerminal('stdout')
      ? {
          // A window may get another width.
          get columns() {
            return terminalWidth('stdout')
          },
          hasColours: hasColours('stdout'),
        }
      : plainScreen,
  columns: () => terminalWidth('stderr'),
  now,
}

/** Opens stdout and stderr. @param streams default: those of this process */
export function openTerminal(streams: Streams = processStreams): Terminal {
  const { isTerminal, columns, now } = streams
  const screen = streams.screen()
  const put = (output: Output, text: Text): Promise<void> =>
    streams.write(output, render(text, output === 'stdout' ? screen : plainScreen))
  let isQuiet = false
  const line = makeProgressLine({
    watched: isTerminal('stderr'),
    columns,
    write: (text) => void put('stderr', text).catch(() => {}),
    now,
  })
  return {
    print(text) {
      line.clear()
      return whileWriting('stdout', () => put('stdout', text))
    },
    note(text) {
      line.clear()
      const wraps = isTerminal('stderr') && typeof text === 'string'
      return put('stderr', [wraps ? wrapWords(shownText(text), columns()) : text, '\n'])
    },
    // Where even that cannot be written, the exit code has to do.
    complain: (text) => put('stderr', text).catch(() => {}),
    progress: {
      update: (update) => {
        if (!isQuiet) line.update(update)
      },
      clear: line.clear,
    },
    quieten: () => void (isQuiet = true),
    isTerminal: isTerminal('stdout'),
    screen,
  }
}
