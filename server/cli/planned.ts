/** Commands whose name is fixed and whose work is not there yet: they say so and fail. */
import { Command } from 'commander';

export function plannedCommand(name: string, description: string): Command {
  return new Command(name).description(`${description} (not supported by this version)`).allowUnknownOption().allowExcessArguments().action(() => {
    process.stderr.write(`oxbow ${name}: not supported by this version\n`);
    process.exitCode = 1;
  });
}
