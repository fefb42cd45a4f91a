/**
 * A process that dies at one of its file operations, inside this process: from that operation on nothing is changed on disk any
 * more, also by what would clean up. Afterwards temporary files belong to a process that has ended.
 */
import { promises, readdirSync, renameSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

/** What changes a disk: functions of node:fs, and of open files. */
const changing = [
  'rename',
  'rm',
  'mkdir',
  'appendFile',
  'writeFile',
  'symlink',
  'link',
  'copyFile',
  'unlink',
] as const
const changingHandles = ['write', 'truncate', 'sync', 'writeFile', 'appendFile'] as const

/** How a run ended, and how many file operations it began. */
export interface Counted<Result> {
  readonly result: Result
  readonly operations: number
}

type Call = (...args: unknown[]) => Promise<unknown>

/**
 * Runs something whose process dies at a file operation, counted from 1. Half of what that one would write is written.
 * @param at 0: it does not die
 */
export async function whileDying<Result>(at: number, run: () => Promise<Result>): Promise<Counted<Result>> {
  let operations = 0
  const fs = promises as unknown as Record<string, Call>
  const before = { ...fs }
  const isAlive = (): boolean => {
    operations++
    return at === 0 || operations < at
  }
  const dead = (): Error => Object.assign(new Error('the process has died'), { code: 'EDIED' })
  for (const name of changing)
    fs[name] = async (...args) => {
      if (!isAlive()) throw dead()
      return before[name].apply(promises, args)
    }
  fs.open = async (...args) => {
    const isReading = args[1] === undefined || args[1] === 'r'
    if (!isReading && !isAlive()) throw dead()
    const handle = (await before.open.apply(promises, args)) as FileHandle & Record<string, Call>
    if (isReading) return handle
    for (const name of changingHandles) {
      const own = handle[name].bind(handle) as Call
      handle[name] = (async (...given: unknown[]) => {
        if (isAlive()) return own(...given)
        const [bytes, start, length, position] = given as [Uint8Array, number, number, number]
        if (name === 'write' && operations === at) await own(bytes, start, length >> 1, position)
        throw dead()
      }) as never
    }
    return handle
  }
  try {
    return { result: await run(), operations }
  } finally {
    for (const name of [...changing, 'open']) fs[name] = before[name]
  }
}

/** No process has this id. */
const ENDED = 2 ** 22 + 1

/** Gives the temporary files below a folder to a process that has ended. */
export function endOwners(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    const given = entry.name.replace(
      new RegExp(`\\.${process.pid}-([0-9a-f]{8}-\\d+\\.tmp)$`),
      `.${ENDED}-$1`,
    )
    const renamed = join(folder, given)
    if (given !== entry.name) renameSync(path, renamed)
    if (entry.isDirectory()) endOwners(renamed)
  }
}
