export STEPS="$STEPS, of the application"
