/**
 * Lines of standard input: typed at a terminal, with a history and editing keys, or piped in.
 */
import { builtin, hostProcess } from './builtin.ts'
import { PlatformError } from './platform_error.ts'

/** Ctrl-C instead of a line; `isEmpty` where nothing had been typed. */
export interface Interrupted {
  readonly isEmpty: boolean
}

/** A source of lines. */
export interface LineInput {
  /** Whether a person types. */
  readonly isTerminal: boolean
  /** The next line without its end; null at the end of the input. @param prompt shown at a terminal only */
  next(prompt: string): Promise<string | Interrupted | null>
  /** Stops reading. Safe to call twice. */
  close(): void
}

/** The number of lines that the up key brings back. */
const HISTORY = 500

/** Opens standard input. Close it. @throws PlatformError in a browser */
export function openLines(): LineInput {
  if (hostProcess === null) throw new PlatformError('stdin')
  const { stdin, stdout } = hostProcess
  return stdin.isTTY && stdout.isTTY ? typedLines() : pipedLines()
}

/** The terminal belongs to a question only while it waits: between questions ctrl-C is a signal as usual. */
function typedLines(): LineInput {
  const { createInterface } = builtin('node:readline')
  const { stdin: input, stdout: output } = hostProcess as NodeJS.Process
  let history: string[] = []
  let stop = (): void => {}
  return {
    isTerminal: true,
    next: (prompt) =>
      new Promise((resolve) => {
        const lines = createInterface({ input, output, prompt, history: [...history], historySize: HISTORY })
        const settle = (line: string | Interrupted | null): void => {
          resolve(line)
          lines.close()
        }
        stop = () => lines.close()
        lines.on('history', (all) => (history = all))
        lines.on('line', settle)
        lines.on('SIGINT', () => {
          output.write('^C\n')
          settle({ isEmpty: lines.line === '' })
        })
        lines.on('close', () => resolve(null))
        lines.prompt()
      }),
    close: () => stop(),
  }
}

function pipedLines(): LineInput {
  const { stdin: input } = hostProcess as NodeJS.Process
  const lines = builtin('node:readline').createInterface({ input, crlfDelay: Infinity, terminal: false })
  const iterator = lines[Symbol.asyncIterator]()
  return {
    isTerminal: false,
    next: async () => {
      const { done, value } = await iterator.next()
      return done ? null : value
    },
    close: () => {
      lines.close()
      input.pause()
    },
  }
}
