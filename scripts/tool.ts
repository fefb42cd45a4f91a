/**
 * Compilers, started as programs.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/**
 * Runs a compiler and gives back what it printed.
 * @param env its environment, if another than this process has
 * @throws Error with its own words if it fails
 */
export async function compile(
  tool: string,
  args: readonly string[],
  folder: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  try {
    const { stdout, stderr } = await execute(tool, args, { cwd: folder, maxBuffer: 2 ** 26, env })
    return stdout + stderr
  } catch (error) {
    throw new Error(`${tool}: ${(error as { stderr?: string }).stderr || (error as Error).message}`, {
      cause: error,
    })
  }
}

/** Why a tool is not here; null if it is. */
export async function whyMissing(tool: string): Promise<string | null> {
  try {
    await execute(tool, ['--version'])
    return null
  } catch (error) {
    return (error as Error).message.split('\n')[0]
  }
}
