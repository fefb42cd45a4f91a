/**
 * The flags whose effect takes seconds, threads, or a server.
 */
import { jsonRow, modelRows, quietRow } from './shared_rows.ts'
import type { KnownFlag } from './commands.ts'
import type { CommandTable } from './table.ts'

export const slowTables: readonly CommandTable[] = []

/** Flags whose effect cannot be seen on every machine, and why. */
export const withoutEffectHere: readonly (KnownFlag & { readonly reason: string })[] = []
void [jsonRow, modelRows, quietRow]
