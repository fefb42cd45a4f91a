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
  /**
   * The next line without its end; null at the end of the input. Lines that are pasted at a terminal come as one, with line breaks.
   * @param prompt shown at a terminal only
   * @param words what the tab key completes, and lists at an empty line; default none. Of other lines it is a character
   */
  next(prompt: string, words?: readonly string[]): Promise<string | Interrupted | null>
  /** Stops reading. Safe to call twice. */
  close(): void
}

/** The number of lines that the up key brings back. */
const HISTORY = 500

/** Milliseconds after a line in which another one is pasted rather than typed. */
const PASTE = 20

/**
 * Between questions a terminal takes ctrl-D itself, and gives it to the next question as this key, at once: milliseconds in which it
 * comes. Later it is ctrl-space, which means nothing.
 */
const [TYPED_END, END_COMES] = ['\0', 250]

/** Tells a terminal to mark pasted text, and not to. Deno does not read the marks: there lines that come at once are a paste. */
const [MARK_PASTES, LEAVE_PASTES] = 'Deno' in globalThis ? ['', ''] : ['\u001b[?2004h', '\u001b[?2004l']

/** Opens standard input. Close it. @throws PlatformError in a browser */
export function openLines(): LineInput {
  if (hostProcess === null) throw new PlatformError('stdin')
  const { stdin, stdout } = hostProcess
  return stdin.isTTY && stdout.isTTY ? typedLines() : pipedLines()
}

/** A key as readline tells of it. */
interface PressedKey {
  readonly name?: string
  readonly sequence?: string
}

/** The terminal belongs to a question only while it waits: between questions ctrl-C is a signal as usual. */
function typedLines(): LineInput {
  const { createInterface } = builtin('node:readline')
  const host = hostProcess as NodeJS.Process
  const { stdin: input, stdout: output } = host
  let history: string[] = []
  let stop = (): void => {}
  /** Ctrl-D came before this question. */
  let isOver = false
  return {
    isTerminal: true,
    next: (prompt, words = []) =>
      new Promise((resolve) => {
        if (isOver) return resolve(null)
        const asked = performance.now()
        const completer = (line: string): [string[], string] => {
          // Up to the next space: what may follow it is completed once it is typed.
          const found = words.filter(
            (word) => word.startsWith(line) && /^\S* ?$/.test(word.slice(line.length)),
          )
          // A tab is a character of a message, and completes a command or nothing.
          const isCommand = line.startsWith('/') || (line === '' && words.length > 0)
          if (found.length === 0) return isCommand ? [[], line] : [[`${line}\t`], line]
          // Of several, those that are listed are told by their last words alone.
          const start = line.lastIndexOf(' ') + 1
          const listed = found.length > 1 ? found.filter((word) => word !== line) : found
          return [listed.map((word) => word.slice(start)), line.slice(start)]
        }
        const lines = createInterface({
          input,
          output,
          prompt,
          completer,
          history: [...history],
          historySize: HISTORY,
        })
        /** Lines that have come. */
        const all: string[] = []
        let isPasting = false
        let isSettled = false
        let isStopped = false
        let timer: ReturnType<typeof setTimeout> | undefined
        const before = history
        const settle = (line: string | Interrupted | null): void => {
          // The up key would bring the lines of a paste back one by one, as what they are not: messages and commands.
          if (all.length > 1) history = before
          isSettled = true
          resolve(line)
          lines.close()
        }
        const mark = (isOn: boolean): void => {
          input.setRawMode(isOn)
          output.write(isOn ? MARK_PASTES : LEAVE_PASTES)
        }
        /** Ends the message where a person has pressed the key; the last line of a paste may have no end yet. */
        const endMessage = (): void => {
          if (lines.line === '') settle(all.join('\n').replace(/\n+$/, ''))
        }
        const onKey = (_: string | undefined, { name, sequence }: PressedKey): void => {
          if (name === 'paste-start') isPasting = true
          if (name === 'paste-end') isPasting = false
          if (sequence !== TYPED_END || lines.line !== '' || performance.now() - asked > END_COMES) return
          isOver = true
          if (all.length === 0) lines.close()
        }
        stop = () => lines.close()
        lines.on('history', (lately) => (history = lately))
        lines.on('line', (line) => {
          all.push(line)
          clearTimeout(timer)
          // The end of a marked paste sends nothing: it may still be edited.
          if (!isPasting) timer = setTimeout(endMessage, PASTE)
        })
        lines.on('SIGINT', () => {
          output.write('^C\n')
          settle({ isEmpty: lines.line === '' && all.length === 0 })
        })
        // Ctrl-Z stops all that the terminal runs in front, npx too, and not this process alone: else its shell would wait on.
        const goOn = (): void => {
          host.off('SIGCONT', goOn)
          if (!isStopped) return
          isStopped = false
          mark(true)
          lines.prompt(true)
        }
        lines.on('SIGTSTP', () => {
          isStopped = true
          host.on('SIGCONT', goOn)
          mark(false)
          host.kill(0, 'SIGTSTP')
          // Where no shell waits for it, the system stops nothing.
          setTimeout(goOn, 100)
        })
        lines.on('close', () => {
          isStopped = false
          clearTimeout(timer)
          stop = () => {}
          input.off('keypress', onKey)
          // What comes next, such as the shell's prompt, begins a line of its own.
          if (!isSettled && all.length === 0) output.write('\n')
          output.write(LEAVE_PASTES)
          resolve(all.length > 0 ? all.join('\n') : null)
        })
        input.on('keypress', onKey)
        output.write(MARK_PASTES)
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
