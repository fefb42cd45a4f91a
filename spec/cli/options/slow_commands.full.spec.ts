/**
 * The flags of the commands that take seconds have a visible effect.
 *
 * Tests src/cli/grid_flags.ts.
 */
import { slowTables } from './slow_rows.ts'
import { useSurroundings } from './surroundings.ts'
import { stateTables } from './table.ts'

stateTables(slowTables, useSurroundings().run, 600_000)
