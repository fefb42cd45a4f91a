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
   * The next line without its end; null at the end of the input. Lines that are pasted at a terminal come as one, with line breaks;
   * lines that were sent before the first prompt come one by one.
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

/** Keys as a terminal sends them. */
const [CTRL_C, CTRL_D, CTRL_Z] = [3, 4, 26]

/** Ctrl-D that was pressed while the terminal itself kept the lines, as Linux hands it on afterwards. */
const EARLIER_CTRL_D = 0

/** Tells a terminal to mark pasted text, and not to. Deno does not read the marks: there lines that come at once are a paste. */
const [MARK_PASTES, LEAVE_PASTES] = 'Deno' in globalThis ? ['', ''] : ['\u001b[?2004h', '\u001b[?2004l']

/** Opens standard input. Close it. @throws PlatformError in a browser */
export function openLines(): LineInput {
  if (hostProcess === null) throw new PlatformError('stdin')
  const { stdin, stdout } = hostProcess
  return stdin.isTTY && stdout.isTTY ? typedLines() : pipedLines()
}

/**
 * Readline has the terminal while a question waits. Before and between questions keys are kept for the next one: a terminal would write
 * them into what is printed, and forget them at ctrl-C. Ctrl-C is then the signal that it usually is.
 */
function typedLines(): LineInput {
  const { createInterface } = builtin('node:readline')
  const host = hostProcess as NodeJS.Process
  const { stdin: input, stdout: output } = host
  let history: string[] = []
  let stop = (): void => {}
  /** Keys for the next question. Each is one key, or several that came at once: a paste. */
  const ahead: Buffer[] = []
  /** Lines that were sent during an answer which was ended: each is put before a person again, who may want it no longer. */
  const waiting: string[] = []
  let lately = -Infinity
  let isFirst = true
  /** Whether the input was closed, or its terminal has gone. */
  let isOver = false
  const mark = (isOn: boolean): void => {
    input.setRawMode(isOn)
    output.write(isOn ? MARK_PASTES : LEAVE_PASTES)
  }
  let stayStopped = (): void => {}
  /** Stops all that the terminal runs in front, npx too, and not this process alone: else its shell would wait on. */
  const suspend = (leave: () => void, goOn: () => void): void => {
    const wake = (): void => {
      stayStopped()
      goOn()
    }
    // Where no shell waits for it, the system stops nothing.
    const timer = setTimeout(wake, 100)
    stayStopped = () => {
      clearTimeout(timer)
      host.off('SIGCONT', wake)
    }
    host.on('SIGCONT', wake)
    leave()
    host.kill(0, 'SIGTSTP')
  }
  const keep = (keys: Buffer): void => {
    const now = performance.now()
    const last = now - lately < PASTE ? (ahead.pop() ?? Buffer.alloc(0)) : Buffer.alloc(0)
    lately = now
    const kept = keys.filter((key) => key !== CTRL_C && key !== CTRL_Z)
    if (last.length + kept.length > 0) ahead.push(Buffer.concat([last, kept]))
    if (keys.includes(CTRL_C)) {
      const typed = Buffer.concat(ahead.splice(0)).toString('latin1')
      waiting.push(...typed.split(/[\r\n]+/).filter((line) => line !== ''))
      host.emit('SIGINT', 'SIGINT')
    }
    if (keys.includes(CTRL_Z))
      suspend(
        () => input.setRawMode(false),
        () => input.setRawMode(true),
      )
  }
  const listen = (): void => {
    input.setRawMode(true)
    input.on('data', keep)
    input.resume()
    stop = () => {
      stop = () => {}
      stayStopped()
      input.off('data', keep)
      input.pause()
      input.setRawMode(false)
    }
  }
  /** Takes what was sent before the first prompt: each line is for a question of its own. */
  const takeEarly = async (): Promise<void> => {
    do await new Promise((resolve) => setTimeout(resolve, PASTE))
    while (performance.now() - lately < PASTE)
    const early = Buffer.concat(ahead.splice(0)).map((key) => (key === EARLIER_CTRL_D ? CTRL_D : key))
    const lines =
      Buffer.from(early)
        .toString('latin1')
        .match(/[^\r\n]*(\r\n?|\n)|[^\r\n]+/g) ?? []
    ahead.push(...lines.map((line) => Buffer.from(line, 'latin1')))
  }
  // A terminal that has gone ends what waits for it, and tells of it once more where it is given back.
  const end = (): void => {
    isOver = true
    stop()
  }
  input.on('error', end)
  input.on('end', end)
  listen()
  return {
    isTerminal: true,
    next: async (prompt, words = []) => {
      if (isFirst) {
        isFirst = false
        await takeEarly()
      }
      return new Promise((resolve) => {
        if (isOver) return resolve(null)
        input.off('data', keep)
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
        /** Whether the keys of a whole line were there before the question. */
        let isEarlier = false
        let timer: ReturnType<typeof setTimeout> | undefined
        const before = history
        const settle = (line: string | Interrupted | null): void => {
          // The up key would bring the lines of a paste back one by one, as what they are not: messages and commands.
          if (all.length > 1) history = before
          isSettled = true
          resolve(line)
          lines.close()
          listen()
        }
        /** Ends the message where a person has pressed the key; the last line of a paste may have no end yet. */
        const endMessage = (): void => {
          if (!isSettled && lines.line === '') settle(all.join('\n').replace(/\n+$/, ''))
        }
        const endEarlier = (): void => {
          isEarlier = false
          endMessage()
        }
        const onKey = (_: string | undefined, { name }: { readonly name?: string }): void => {
          if (name === 'paste-start') isPasting = true
          if (name === 'paste-end') isPasting = false
        }
        stop = () => {
          stop = () => {}
          lines.close()
        }
        lines.on('error', () => {})
        lines.on('history', (lately) => (history = lately))
        lines.on('line', (line) => {
          all.push(line)
          clearTimeout(timer)
          // Of keys from before, all are there: what comes now is for another question.
          if (isEarlier) return queueMicrotask(endEarlier)
          // The end of a marked paste sends nothing: it may still be edited.
          if (!isPasting) timer = setTimeout(endMessage, PASTE)
        })
        lines.on('SIGINT', () => {
          output.write('^C\n')
          waiting.length = 0
          settle({ isEmpty: lines.line === '' && all.length === 0 })
        })
        lines.on('SIGTSTP', () => {
          suspend(
            () => mark(false),
            () => {
              mark(true)
              lines.prompt(true)
            },
          )
        })
        lines.on('close', () => {
          stayStopped()
          clearTimeout(timer)
          stop = () => {}
          input.off('keypress', onKey)
          // What comes next, such as the shell's prompt, begins a line of its own.
          if (!isSettled && all.length === 0) output.write('\n')
          output.write(LEAVE_PASTES)
          if (isSettled) return
          isSettled = true
          if (all.length === 0) return resolve(null)
          // Ctrl-D behind a line ends the next question.
          ahead.unshift(Buffer.of(CTRL_D))
          resolve(all.join('\n'))
          listen()
        })
        input.on('keypress', onKey)
        output.write(MARK_PASTES)
        lines.prompt()
        const again = ahead.length === 0 ? waiting.shift() : undefined
        if (again !== undefined) ahead.push(Buffer.from(again, 'latin1'))
        // The keys of one line: what follows it is for the next question.
        const end = ahead.findIndex((keys) => keys.includes('\r') || keys.includes('\n'))
        isEarlier = end >= 0
        const keys = ahead.splice(0, end < 0 ? ahead.length : end + 1)
        if (keys.length > 0) input.unshift(Buffer.concat(keys))
      })
    },
    close: end,
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
