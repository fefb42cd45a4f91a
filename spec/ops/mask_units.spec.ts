/**
 * mask_units is the `simulate` mode of a mask: 1 keeps a unit, 0 silences it, and the derivative between them is what
 * plainact measures.
 */
import * as laws from '../../src/verify/ops/mask_units.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
