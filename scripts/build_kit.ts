/**
 * `npm run build:kit`: writes the conformance kit to build/kit, and its hashes to fixtures/kit/SHA256SUMS. A hash that
 * changes is an expected number or a bound that changed: it belongs into fixtures/kit/CHANGELOG.md.
 *
 *   node scripts/node.mjs scripts/build_kit.ts [FOLDER]
 */
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sourceFolder, sumsFile, writeKit } from './kit/folder.ts'
import { root } from './sources.ts'

const folder = process.argv[2] ?? join(root, 'build', 'kit')
const sums = writeKit(folder)
if (process.argv[2] === undefined) writeFileSync(join(sourceFolder, sumsFile), sums)
const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
const bytes = files.reduce((total, { parentPath, name }) => total + statSync(join(parentPath, name)).size, 0)
process.stdout.write(`${folder}: ${files.length} files, ${(bytes / 1e6).toFixed(1)} MB\n`)
