/**
 * `shadowllm chat` at a real terminal, which `script` of util-linux provides: the prompt, the history,
 * ctrl-C and ctrl-D.
 *
 * Tests src/cli/commands/chat.ts and src/cli/chat_loop.ts.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { writeChatModel } from '../library/chat_model.ts'
import { root } from './run_cli.ts'

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
    expect(await terminal.until('of the weights skipped')).toMatch(/\[\d\d\.\d % $/)
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
