/**
 * A real terminal, which `script` of util-linux provides: the prompt of `shadowllm chat`, its history, ctrl-C and ctrl-D; and
 * colours, which only a terminal has.
 *
 * Tests src/cli/commands/chat.ts, src/cli/chat_loop.ts, src/cli/screen.ts and src/cli/terminal.ts.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { writeChatModel } from '../library/chat_model.ts'
import { root, tinyFolder } from './run_cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-terminal-'))
afterAll(() => rmSync(folder, { recursive: true }))

const isThere = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0

/** A terminal with the program in it. */
function openTerminal(command: string) {
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let shown = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (shown += text))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  return {
    ended,
    /** Presses keys. */
    type: (keys: string) => void child.stdin.write(keys),
    /** Ends what is typed, as ctrl-D does. */
    endInput: () => void child.stdin.end(),
    /** Waits for a text, and forgets what was shown up to its end. @returns what was shown before it */
    async until(text: string): Promise<string> {
      const end = performance.now() + 30_000
      while (!shown.includes(text)) {
        if (performance.now() > end) throw new Error(`expected ${text}, got ${JSON.stringify(shown)}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      const at = shown.indexOf(text)
      const before = shown.slice(0, at)
      shown = shown.slice(at + text.length)
      return before
    },
  }
}

test.skipIf(!isThere)(
  `a conversation at a terminal: history, ctrl-C, ctrl-D${isThere ? '' : ': it needs script of util-linux'}`,
  async () => {
    await writeChatModel(join(folder, 'model'))
    const flags = '--max-tokens 300 --temperature 9'
    const command = `'${process.execPath}' src/cli/main.ts chat -m '${join(folder, 'model')}' ${flags}`
    const terminal = openTerminal(command)
    /** Types, and waits for an answer and the next prompt. */
    const say = async (keys: string, answer: string): Promise<void> => {
      terminal.type(keys)
      await terminal.until(answer)
      await terminal.until('> ')
    }
    await terminal.until('> ')
    await say('/planner random\r', 'random, 50.0 %')
    await say('/sparsity 0.75\r', 'random, 75.0 %')
    await say('/mask\r', 'no answer yet')
    // The line before the last one comes back, and is edited.
    await say('\u001b[A\u001b[A\u007f\u007f4\r', 'random, 40.0 %')
    terminal.type('once upon\r')
    expect(await terminal.until("of the layers' weights skipped")).toMatch(/\[\d\d % $/)
    await terminal.until('> ')
    // A typed line that is given up.
    terminal.type('half a line')
    await terminal.until('half a line')
    await say('\u0003', '^C')
    terminal.type('\u0004')
    expect(await terminal.ended).toBe(0)
    const second = openTerminal(command)
    await second.until('> ')
    second.type('\u0003')
    await second.until('ctrl-C again')
    await second.until('> ')
    second.type('\u0003')
    expect(await second.ended).toBe(130)
  },
)

describe.skipIf(!isThere)(
  `a conversation that waits for a line${isThere ? '' : ': it needs script of util-linux'}`,
  () => {
    const start = async (flags = '') => {
      const model = join(folder, 'waiting')
      await writeChatModel(model)
      // The shell tells its own id, which the program then has, and what the terminal is when the program has ended.
      const chat = `'${process.execPath}' src/cli/main.ts chat -m '${model}' --temperature 9 ${flags}`
      const terminal = openTerminal(
        `stty -g; sh -c 'echo pid $$.; exec ${chat.replaceAll("'", '"')}'; echo code $?.; stty -g`,
      )
      const before = (await terminal.until('pid ')).trim()
      const pid = Number(await terminal.until('.'))
      await terminal.until('> ')
      return { ...terminal, before, pid }
    }

    test('is stopped by ctrl-Z with all that runs in front, and goes on with what was typed', async () => {
      const model = join(folder, 'stopped')
      await writeChatModel(model)
      const { type, until, ended } = openTerminal('PS1="ready " bash --norc --noprofile -i')
      // A program in between, as npx is, which does not stop by itself.
      const chat = `sh -c '"${process.execPath}" src/cli/main.ts chat -m "${model}" --planner random; exit $?'`
      for (const [keys, ...shown] of [
        [`${chat}\r`, '/help lists the commands', '> '],
        ['/sparsity', '/sparsity'],
        ['\u001a', 'Stopped'],
        ['fg\r', '> /sparsity'],
        [' 0.4\r', 'random, 40.0 %', '> '],
        ['/quit\r', 'ready '],
        ['echo code $?.\r', 'code 0.'],
      ]) {
        type(keys)
        for (const text of shown) await until(text)
      }
      type('exit\r')
      expect(await ended).toBe(0)
    })

    test('ends at SIGTERM with 130 and one line, and gives the terminal back', async () => {
      const { until, ended, before, pid, type } = await start()
      type('half a line')
      await until('half a line')
      process.kill(pid, 'SIGTERM')
      expect(await until('code ')).toBe('\r\n\u001b[?2004lshadowllm: interrupted [INTERRUPTED]\r\n')
      expect(await until('.')).toBe('130')
      expect(await until(before)).toBe('\r\n')
      await ended
    })

    test('ends after an answer during which ctrl-D was pressed', async () => {
      const { until, ended, type } = await start('--max-tokens 300')
      type('once\r')
      // From here on the terminal takes keys itself.
      await until('\u001b[?2004l')
      type('\u0004')
      expect(await until('code ')).toContain('tokens/s')
      expect(await until('.')).toBe('0')
      await ended
    })

    test('ends after an answer that ctrl-C ends, where ctrl-D was pressed before', async () => {
      const { until, ended, type } = await start('--max-tokens 300')
      type('once\r')
      await until('\u001b[?2004l')
      type('\u0004\u0003')
      // Before its first token or after some.
      expect(await until('code ')).toContain('interrupted')
      expect(await until('.')).toBe('0')
      await ended
    })

    test('keeps keys that are pressed during an answer for the next questions, and shows them there', async () => {
      const { until, ended, type } = await start('--max-tokens 300')
      type('once\r')
      await until('\u001b[?2004l')
      type('/planner')
      await new Promise((resolve) => setTimeout(resolve, 40))
      type(' random\r')
      expect(await until('tokens/s')).not.toContain('/planner')
      for (const text of ['> ', '/planner random', 'random, 50.0 %', '> ']) await until(text)
      type('\u0004')
      expect(await until('code ')).not.toContain('tokens/s')
      expect(await until('.')).toBe('0')
      await ended
    })

    test('leaves what was typed during an answer unsent where ctrl-C ends the answer', async () => {
      const { until, ended, type } = await start('--max-tokens 300')
      type('once\r')
      await until('\u001b[?2004l')
      type('/planner random\r')
      await new Promise((resolve) => setTimeout(resolve, 40))
      type('\u0003')
      for (const text of ['> ', '/planner random']) await until(text)
      type('!\r')
      await until('got random!')
      type('\u0004')
      await until('code ')
      expect(await until('.')).toBe('0')
      await ended
    })

    test.each([
      ['/quit', ['/planner random', '/sparsity 0.75', '/quit', '/planner dense']],
      ['the end of the input', ['/planner random', '/sparsity 0.75']],
    ])('takes lines that came while the model loaded one by one, and ends with 0 at %s', async (_, lines) => {
      const model = join(folder, 'early')
      await writeChatModel(model)
      const { type, endInput, until, ended } = openTerminal(
        `'${process.execPath}' src/cli/main.ts chat -m '${model}'`,
      )
      type(`${lines.join('\n')}\n`)
      endInput()
      for (const text of ['> ', 'random, 50.0 %', '> ', 'random, 75.0 %', '> ']) await until(text)
      expect(await ended).toBe(0)
    })

    test('gives the terminal back where the model cannot be loaded', async () => {
      const chat = `'${process.execPath}' src/cli/main.ts chat -m '${join(folder, 'none.gguf')}'`
      const { until, ended } = openTerminal(`stty -g; ${chat}; echo code $?.; stty -g`)
      const before = (await until('shadowllm: ')).trim()
      expect(await until('code ')).toContain('[MODEL_MISSING]\r\n')
      expect(await until('.')).toBe('3')
      expect(await until(before)).toBe('\r\n')
      await ended
    })

    test('ends with 130 when its terminal goes, and keeps the running answer in its session', async () => {
      const session = join(folder, 'gone.session')
      const { until, ended, type, pid } = await start(`--max-tokens 300 --session ${session}`)
      type('once\r')
      await until('\u001b[?2004l')
      // The first token.
      await until(' ')
      process.kill(pid, 'SIGHUP')
      await until('code ')
      expect(await until('.')).toBe('130')
      await ended
      expect(readFileSync(session, 'latin1')).toMatch(/once.*assistant/)
    })
  },
)

describe.skipIf(!isThere)(
  `a command at a terminal${isThere ? '' : ': it needs script of util-linux'}`,
  () => {
    /** What a command prints at a terminal. */
    const shown = (command: string, env: Record<string, string>): string => {
      const line = `'${process.execPath}' src/cli/main.ts ${command}`
      // What tells a program of a terminal's colours otherwise.
      const { CI: _, NO_COLOR: __, FORCE_COLOR: ___, ...others } = process.env
      const { stdout } = spawnSync('script', ['-qec', line, '/dev/null'], {
        cwd: root,
        encoding: 'utf8',
        env: { ...others, TERM: 'xterm', ...env },
      })
      return stdout
    }
    const batch = `${tinyFolder}/cases/batch.safetensors`
    const check = `parity check ${batch} ${batch}`

    test('prints colours', () => expect(shown(check, {})).toContain('\x1b[32m'))
    test('prints none if NO_COLOR is set', () =>
      expect(shown(check, { NO_COLOR: '1' })).not.toContain('\x1b['))
    test('spells the control characters of a path', () => {
      const text = shown("inspect 'none/\x1b[2J\u202e' --offline", {})
      expect(text).toContain('none/\\u001b[2J\\u202e')
      expect(text).not.toContain('\x1b')
      expect(text).not.toContain('\u202e')
    })
  },
)
