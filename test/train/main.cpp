// clip_es_train_test [--only TEXT]...: runs the tests of the training program that need LibTorch's C++ interface. The tests in TypeScript
// run the program itself. clip_es_train_test --twin FOLDER: writes the cases for tools/train/twin_steps.py.
#include "check.h"
#include "twin_cases.h"

int main(int argc, char** argv) {
  std::vector<std::string> only;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--only") only.push_back(argv[i + 1]);
    if (std::string(argv[i]) == "--twin") {
      write_twin_cases(argv[i + 1]);
      return 0;
    }
  }
  return check::run(only, {});
}
