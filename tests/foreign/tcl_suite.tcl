# Runs test files of Tcl: tcl_suite.tcl FOLDER REPORT TEMPORARY SKIP FILE...
# All files run in this process, so that their common setup is done once. The report has lines for each test.
package require tcltest 2.5
namespace import -force ::tcltest::*
lassign $argv folder report temporary skip
set files [lrange $argv 4 end]
set argv {}
tcltest::configure -testdir $folder -tmpdir $temporary -outfile $report -errfile $report \
    -verbose {start pass skip error} -skip $skip
cd $temporary
foreach file $files {
    cd $folder
    if {[catch {uplevel #0 [list source [file join $folder $file]]} message]} {
        puts [tcltest::outputChannel] "cannot be run: $file: $message"
    }
}
puts [tcltest::outputChannel] "all over"
