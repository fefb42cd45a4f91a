/**
 * Packs what the build wrote, from a folder of its own in which README.md is that of the package.
 *
 *   node scripts/node.mjs scripts/package/pack.ts [flags of npm pack]
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packageReadme } from './readme.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { files } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { files: string[] }
const folder = await mkdtemp(join(tmpdir(), 'shadowllm-pack-'))
try {
  for (const name of ['package.json', 'LICENSE', ...files])
    await cp(join(root, name), join(folder, name), { recursive: true })
  const whole = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>
  // Their folders are not packed.
  delete whole.workspaces
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(whole, null, 2)}\n`)
  const readme = await readFile(join(root, 'README.md'), 'utf8')
  const isPacked = (path: string): boolean => existsSync(join(folder, path))
  await writeFile(join(folder, 'README.md'), packageReadme(readme, isPacked))
  const args = ['pack', '--ignore-scripts', '--silent', '--pack-destination', root, ...process.argv.slice(2)]
  const { status } = spawnSync('npm', args, {
    cwd: folder,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  process.exitCode = status ?? 1
} finally {
  await rm(folder, { recursive: true })
}
